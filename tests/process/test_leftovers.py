"""What a task leaves in its child: processes that it has started, deafness to signals, closed outputs (I7)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streamtasks import State, wait_for
from tests.process.test_executors import each_executor
from tests.process.test_hostile import start
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until
from tests.support.worker_process import is_alive, kill

pytestmark = pytest.mark.slow


def _helper(file: Path) -> int:
    """Wait until a task has written the pid of the process that it has started."""
    return int(wait_until(lambda: file.exists() and file.read_text(), "a helper has been started"))


@each_executor
@pytest.mark.parametrize("how", ["program", "fork"])
def test_what_a_killed_child_has_started_is_ended(fleet: Fleet, executor: str, how: str, tmp_path: Path) -> None:
    worker = start(fleet, executor, "--concurrency", "1")
    [child] = worker.pids().children  # now: a copy looks like a child for a moment
    file = tmp_path / "pid"
    running = fleet.enqueue("leave_a_helper", str(file), how, 1.0)
    helper = _helper(file)
    file.unlink()
    kill(child)
    wait_until(lambda: not is_alive(helper), "the helper has ended with its child")
    again = _helper(file)  # the task itself runs again
    assert running.get(timeout=60) is None
    worker.terminate()
    assert worker.wait() == 0
    assert not is_alive(again)
    assert "had started have ended with it" in worker.log


def test_what_a_task_over_its_hard_limit_has_started_is_ended(fleet: Fleet, tmp_path: Path) -> None:
    start(fleet, "inline", "--concurrency", "1")
    file = tmp_path / "pid"
    result = fleet.enqueue("leave_a_helper", str(file), "program", 60.0, time_limit_s=1.0)
    helper = _helper(file)
    assert wait_for([result], timeout=60)
    assert result.state == State.FAILURE
    wait_until(lambda: not is_alive(helper), "the helper has ended with its child")


def test_what_a_recycled_child_has_started_is_ended(fleet: Fleet, tmp_path: Path) -> None:
    start(fleet, "inline", "--concurrency", "1", "--max-tasks-per-child", "1")
    file = tmp_path / "pid"
    assert fleet.enqueue("leave_a_helper", str(file), "program", 0.0).get(timeout=60) is None
    helper = _helper(file)
    wait_until(lambda: not is_alive(helper), "the helper has ended with its child")
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3


def test_a_process_in_a_session_of_its_own_lives_on(fleet: Fleet, tmp_path: Path) -> None:
    worker = start(fleet, "inline", "--concurrency", "1")
    file = tmp_path / "pid"
    assert fleet.enqueue("leave_a_helper", str(file), "session", 0.0).get(timeout=60) is None
    helper = _helper(file)
    worker.terminate()
    assert worker.wait() == 0
    try:
        assert is_alive(helper)
    finally:
        kill(helper)


@each_executor
def test_an_idle_child_that_is_deaf_to_signals_stops_at_once(
    fleet: Fleet, executor: str, bound: Callable[[float], float]
) -> None:
    worker = start(fleet, executor, "--concurrency", "2", "--grace", "50")
    for _ in range(4):
        assert fleet.enqueue("ignore_sigterm_in_c").get(timeout=60) is None
    fleet.wait_idle(2)
    told = time.monotonic()
    worker.terminate()
    assert worker.wait() == 0
    assert time.monotonic() - told < bound(1.0)
    assert "grace period is over" not in worker.log


def test_a_stop_during_a_task_that_ignores_sigterm_is_not_lost(fleet: Fleet, bound: Callable[[float], float]) -> None:
    worker = start(fleet, "inline", "--concurrency", "1", "--grace", "50")
    running = fleet.enqueue("ignore_sigterm_for", 1.0)
    fleet.record.wait_started(running)
    waiting = fleet.many("add", [(1, 1)] * 5)
    told = time.monotonic()
    os.kill(worker.process.pid, signal.SIGTERM)
    assert worker.wait() == 0
    assert time.monotonic() - told < bound(3.0)
    assert running.state == State.SUCCESS
    assert {result.state for result in waiting} == {State.QUEUED}


@each_executor
@pytest.mark.parametrize("how", ["streams", "descriptors", "both"])
def test_closed_outputs_are_opened_for_others_and_the_child_ends(fleet: Fleet, executor: str, how: str) -> None:
    worker = start(fleet, executor, "--concurrency", "1", "--max-tasks-per-child", "12")
    for turn in range(3):
        wait_for([fleet.enqueue("close_outputs", how)], timeout=60)
        printing = [fleet.enqueue("print_something", f"printed {turn} {n}") for n in range(8)]
        assert wait_for(printing, timeout=60)
        assert [(one.state, one.attempts) for one in printing] == [(State.SUCCESS, 1)] * 8
    for turn in range(3):
        assert worker.log.count(f"printed {turn} ") == 16
    assert "has changed stdout and stderr of its process" in worker.log
    worker.terminate()
    assert worker.wait() == 0
