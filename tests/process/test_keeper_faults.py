"""A keeper that stands still is replaced, and one that cannot settle at the end is not waited for."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from streamtasks import State
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until
from tests.support.worker_process import Worker, is_alive, kill

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent


def _start(fleet: Fleet, *options: str) -> Worker:
    environment = {"PYTHONPATH": str(ROOT)}
    return fleet.start("--concurrency", "1", *options, app="impatient_app:app", environment=environment)


def test_a_silent_keeper_is_replaced_and_running_work_unharmed(fleet: Fleet) -> None:
    worker = _start(fleet)
    gate = fleet.gate()
    result = fleet.enqueue("nap_until", gate.path)
    fleet.record.wait_started(result)
    keeper, children = worker.pids()[1:]
    assert keeper is not None
    kill(keeper, signal.SIGSTOP)
    worker.wait_log("the keeper has been silent for")
    wait_until(lambda: worker.pids().keeper not in (None, keeper), "the keeper is replaced")
    assert not is_alive(keeper)
    gate.open()
    assert result.get(timeout=60) == "opened"
    assert (result.attempts, len(fleet.record.of(result)), worker.pids().children) == (1, 1, children)
    worker.terminate()
    assert worker.wait() == 0


def test_a_worker_whose_store_is_away_ends_all_the_same(
    own_server: Callable[..., EmbeddedServer], open_fleet: Callable[[str], Fleet]
) -> None:
    server = own_server(append_only=True)
    fleet = open_fleet(server.url)
    worker = _start(fleet, "--grace", "0.2")
    result = fleet.enqueue("nap_until", fleet.gate().path)
    fleet.record.wait_started(result)
    everyone = worker.all_pids()
    server.kill()
    worker.terminate()
    assert worker.wait() == 1
    assert "the store did not answer; what 1 children held" in worker.log
    assert not any(is_alive(pid) for pid in everyone)
    server.start()
    assert result.state in (State.QUEUED, State.STARTED), "it is another worker's when its lease ends"
