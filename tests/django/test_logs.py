"""What a worker of a Django project logs: everything once, in Django's words, also with DEBUG."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from contract.app import tasks
from contract.options import tasks_setting
from tests.support.django_site import DjangoWorker, environment
from tests.support.waiting import wait_until


@pytest.mark.parametrize("debug", [pytest.param(False, marks=pytest.mark.slow), True])
def test_each_event_is_logged_once(embedded_site_url: str, tmp_path: Path, debug: bool) -> None:
    (tmp_path / "debug_settings.py").write_text(f"from contract.settings import *\n\nDEBUG = {debug}\n")
    path = f"{tmp_path}:{environment()['PYTHONPATH']}"
    more = {"DJANGO_SETTINGS_MODULE": "debug_settings", "PYTHONPATH": path}
    prefix = f"logs-{debug}:"
    worker = DjangoWorker(tmp_path, embedded_site_url, prefix, "--concurrency", "1", **more)
    with worker, override_settings(TASKS=tasks_setting(embedded_site_url, prefix)):
        noted: Any = worker.finish(tasks.note.enqueue("apples"))
        failed: Any = worker.finish(tasks.fail.enqueue("project"))
        retried: Any = worker.finish(tasks.try_again.enqueue(1))
        path_of = {one.id: one.task.module_path for one in (noted, failed, retried)}
        wait_until(lambda: f"id={retried.id}" in worker.logged(), "it is logged")

        def states(task_id: str) -> list[tuple[str, ...]]:
            wanted = rf"Task id={task_id} path={path_of[task_id]} state=(\w+) queue=(\w+) attempt=(\d)"
            return re.findall(wanted, worker.logged())

        assert states(noted.id) == [("RUNNING", "default", "1"), ("SUCCESSFUL", "default", "1")]
        assert states(failed.id) == [("RUNNING", "default", "1"), ("FAILED", "default", "1")]
        assert [state for state, *_ in states(retried.id)] == ["RUNNING", "RETRY", "RUNNING", "SUCCESSFUL"]
        log = worker.logged()
        assert log.count("noted apples") == 1, "the project's own lines are shown"
        for result in (noted, failed):
            assert log.count(f"id={result.id}") == 2, "Django's own lines are not added"
        text = log.partition("state=FAILED")[2].partition("Error calling")[0]
        assert text.count("Traceback") == 1
        assert re.findall(r"  File .*", text)[0].endswith("in fail"), "it begins in the task's own code"
