"""A worker whose processes cannot start: one growing back-off, each error once, an end only if nothing ever lived."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamtasks import wait_for
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until
from tests.support.worker_process import Worker

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent


def _start(fleet: Fleet, broken: str) -> Worker:
    environment = {"PYTHONPATH": str(ROOT), "STREAMTASKS_TEST_BROKEN": broken}
    worker = fleet.worker("--concurrency", "2", app="broken_app:app", environment=environment)
    worker.spawn()
    return worker


def test_a_worker_of_which_nothing_ever_lived_ends_by_itself(fleet: Fleet) -> None:
    worker = _start(fleet, "run_keeper run_child")
    assert worker.wait() == 1
    assert "no process of this worker can live" in worker.log
    assert worker.log.count("Traceback") == 2, "one of the keeper's, one of the children's"
    assert worker.log.count("the keeper ended") < 20


def test_keepers_that_cannot_start_are_tried_for_as_long_as_a_child_lives(fleet: Fleet) -> None:
    worker = _start(fleet, "run_keeper")
    assert wait_for(fleet.many("add", [(1, 1)] * 20), timeout=60)
    wait_until(lambda: "8 times in a row by the same error" in worker.log, "eight keepers have failed")
    assert worker.log.count("Traceback") == 1
    assert worker.process.poll() is None
    worker.terminate()
    worker.wait()
