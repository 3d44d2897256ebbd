"""Whatever ends a task, Django's signal and the hooks of its class hear of it, also while children are killed."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from django.test import override_settings

from contract.app import classes, tasks
from contract.options import tasks_setting
from streamtasks_django import get_task_backend
from tests.support.django_site import DjangoWorker
from tests.support.waiting import wait_until
from tests.support.worker_process import kill, pids_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

SECONDS = 6.0


def test_every_end_is_told_while_children_are_killed(embedded_site_url: str, tmp_path: Path) -> None:
    setting = tasks_setting(embedded_site_url, "killed:")
    with (
        override_settings(TASKS=setting),
        DjangoWorker(tmp_path, embedded_site_url, "killed:", "--backend", "default", "--concurrency", "2") as worker,
    ):
        worker.finish(tasks.add.enqueue(1, 2))
        backend: Any = get_task_backend()
        results = []
        dice, kills, end = random.Random(11), 0, time.monotonic() + SECONDS
        while time.monotonic() < end:
            results += [classes.data_migration_task.delay(word) for word in ("right", "unknown", "retry")]
            results.append(classes.data_migration_task.apply_async(("late",), countdown=0.05, expires=0.01))
            results.append(classes.data_migration_task.apply_async(("right",), countdown=600))
            backend.revoke(results[-1].id)
            children = pids_of(worker.process.pid).children
            if children:
                kill(dice.choice(children))
                kills += 1
            time.sleep(dice.random() * 0.3)
        for result in results:
            worker.finish(result, 60)
        ids = {result.id for result in results}
        wait_until(lambda: backend.get_statistics()["pending_tasks"] == 0, "callbacks are done")
        noted = worker.noted()
        finished = Counter(note[1] for note in noted if note[0] == "finished" and note[1] in ids)
        hooks = [(note[1], note[4]) for note in noted if note[:3:2] == ["class", "after_return"]]
        returned = Counter(task_id for task_id, state in hooks if state != "RETRY")
        assert set(finished) == ids
        assert set(returned) == ids
        twice = sum(finished.values()) - len(ids), sum(returned.values()) - len(ids)
        print(f"{len(ids)} ends with {kills} kills; told twice: signals {twice[0]}, hooks {twice[1]}")
        assert max(twice) <= kills
