"""The same promises with threads and with coroutines in one child."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from django.tasks import TaskResultStatus
from django.test import override_settings

from contract.app import tasks
from contract.options import tasks_setting
from tests.support.django_site import DjangoWorker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("executor", ["--threads", "--async-concurrency"])
def test_tasks_run_side_by_side_with_their_own_results_and_connections(
    embedded_site_url: str, tmp_path: Path, executor: str, bound: Callable[[float], float]
) -> None:
    prefix = f"executors{executor}:"
    options = ("--concurrency", "1", "--backend", "default", executor, "8")
    with (
        override_settings(TASKS=tasks_setting(embedded_site_url, prefix)),
        DjangoWorker(tmp_path, embedded_site_url, prefix, *options) as worker,
    ):
        worker.finish(tasks.add.enqueue(0, 0))
        started = time.monotonic()
        naps = [(tasks.sleep if executor == "--threads" else tasks.asleep).enqueue(0.5) for _ in range(8)]
        contexts = [tasks.context_of.enqueue(str(number)) for number in range(8)]
        rows = [tasks.select.enqueue(number) for number in range(8)]
        retried: list[Any] = [tasks.try_again.enqueue(1), tasks.atry_again.enqueue(1)]
        broken: list[Any] = [tasks.fail.enqueue("project"), tasks.afail.enqueue(), tasks.leave.enqueue("sys.exit")]
        for nap in naps:
            assert worker.finish(nap).return_value == 0.5
        assert time.monotonic() - started < bound(3.0)
        for number, result in enumerate(contexts):
            found = worker.finish(result).return_value
            assert (found["word"], found["id"], found["attempt"]) == (str(number), result.id, 1)
        assert [worker.finish(row).return_value[0] for row in rows] == list(range(8))
        assert [worker.finish(result).attempts for result in retried] == [2, 2]
        for failure, error in zip(broken, ("ShopError", "ShopError", "SystemExit"), strict=True):
            assert worker.finish(failure).status == TaskResultStatus.FAILED
            assert failure.errors[0].exception_class_path.endswith(error)
            [finished] = [note for note in worker.noted() if note[0] == "finished" and note[1] == failure.id]
            assert finished[-1] == error
    assert worker.process.returncode == 0
