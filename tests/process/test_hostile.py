"""What a task does to its process reaches no other attempt (I7). ``benchmarks/hostile.py`` runs all hostile tasks."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamtasks import State, wait_for
from tests.process.tasks import hostile_app
from tests.process.test_executors import EXECUTORS, each_executor
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until
from tests.support.worker_process import Worker

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent

FORKS = {
    "fork_and_run_on": "parent",
    "fork_and_exit": "parent",
    "fork_and_wait": "parent",
    "fork_and_report": "parent",
    "terminate_a_process": "ended",
    "use_a_process_pool": 45,
    "use_a_pool": 30,
    "start_a_program": True,
}


def start(fleet: Fleet, executor: str, *options: str, **settings: Any) -> Worker:
    """Start a worker that knows the hostile tasks."""
    fleet.configure(**settings)
    fleet.app = hostile_app.make(fleet.url, **settings)
    environment = {"PYTHONPATH": str(ROOT)}
    return fleet.start(*options, *EXECUTORS[executor], app="hostile_app:app", environment=environment, anew=True)


def processes_in(session: int) -> list[int]:
    """The processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(") ")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


@each_executor
def test_what_a_task_forks_is_no_second_worker(fleet: Fleet, executor: str) -> None:
    worker = start(fleet, executor, "--concurrency", "1")
    fleet.wait_idle(1)
    before = worker.pids().children
    session = os.getsid(worker.process.pid)
    family = processes_in(session)
    innocents = fleet.many("nap", [(0.02,)] * 10) + fleet.many("anap", [(0.02,)] * 10)
    hostile = {name: fleet.enqueue(name) for name in FORKS for _ in range(3)}
    innocents += fleet.many("nap", [(0.02,)] * 10) + fleet.many("anap", [(0.02,)] * 10)
    assert wait_for([*innocents, *hostile.values()], timeout=60), worker.log
    assert {name: result.get(0) for name, result in hostile.items()} == FORKS
    for innocent in innocents:
        assert (innocent.state, innocent.attempts) == (State.SUCCESS, 1)
        assert len(fleet.record.of(innocent)) == 1
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3
    assert worker.pids().children == before
    assert sorted(processes_in(session)) == sorted(family), "no copy lives on"


LOOPS = {
    "stop_the_loop": (State.SUCCESS, "went on"),
    "exit_in_the_background": (State.SUCCESS, "went on"),
    "cancel_everything": (State.FAILURE, None),
    "cancel_itself": (State.FAILURE, None),
    "pretend_to_be_cancelled": (State.FAILURE, None),
    "use_timeouts": (State.SUCCESS, "in time"),
    "close_the_current_loop": (State.SUCCESS, "closed"),
    "exit_in_a_callback": (State.SUCCESS, "went on"),
    "spoil_the_loop": (State.SUCCESS, "spoilt"),
    "remove_readers": (State.SUCCESS, "removed"),
}


@each_executor
@pytest.mark.parametrize("name", LOOPS)
def test_what_a_task_does_to_the_loop_reaches_no_other(fleet: Fleet, executor: str, name: str) -> None:
    worker = start(fleet, executor, "--concurrency", "1")
    fleet.wait_idle(1)
    before = worker.pids().children
    innocents = fleet.many("ainnocent", [(0.1,)] * 5)
    hostile = [fleet.enqueue(name) for _ in range(3)]
    innocents += fleet.many("ainnocent", [(0.1,)] * 5) + fleet.many("innocent", [(0.02,)] * 5)
    assert wait_for([*innocents, *hostile], timeout=60), worker.log
    state, value = LOOPS[name]
    for result in hostile:
        assert (result.state, result.attempts) == (state, 1)
        assert state != State.SUCCESS or result.get(0) == value
    for innocent in innocents:
        assert (innocent.state, innocent.attempts) == (State.SUCCESS, 1)
        assert len(fleet.record.of(innocent)) == 1
    assert worker.pids().children == before


SETTINGS = [
    "arm_an_alarm",
    "arm_a_timer",
    "arm_timers_of_the_processor",
    "replace_handlers",
    "block_signals",
    "change_directory",
    "change_the_mask",
]


@each_executor
def test_what_a_task_sets_in_its_process_is_restored(
    fleet: Fleet, executor: str, bound: Callable[[float], float]
) -> None:
    worker = start(fleet, executor, "--concurrency", "1", "--grace", "120")
    fleet.wait_idle(1)
    before = worker.pids().children
    [state] = [fleet.enqueue("settings_of_process").get(timeout=60)]
    for name in SETTINGS:
        wait_for([fleet.enqueue(name)], timeout=60)
        assert fleet.enqueue("settings_of_process").get(timeout=60) == state, name
    innocents = fleet.many("nap", [(0.02,)] * 60)
    assert wait_for(innocents, timeout=60)
    assert {(one.state, one.attempts) for one in innocents} == {(State.SUCCESS, 1)}
    assert worker.pids().children == before
    began = time.monotonic()
    os.kill(worker.process.pid, signal.SIGTERM)
    assert worker.wait() == 0
    assert time.monotonic() - began < bound(10), "it hears SIGTERM, and does not take the whole grace"


def test_what_quick_tasks_set_is_restored_before_the_next_one_of_the_same_batch(fleet: Fleet) -> None:
    start(fleet, "inline", "--concurrency", "1")
    wait_for(fleet.many("add", [(1, 1)] * 500), timeout=60)  # they are quick: from now on many are claimed at once
    [state] = [fleet.enqueue("settings_of_process").get(timeout=60)]
    names = [name for _ in range(20) for setting in SETTINGS for name in (setting, "settings_of_process")]
    results = fleet.app.enqueue([fleet.app.tasks[name].message((), {}) for name in names])
    assert wait_for(results, timeout=60)
    found = [result.get(0) for name, result in zip(names, results, strict=True) if name == "settings_of_process"]
    assert found == [state] * len(found)


SPOILT = {"leak_descriptors": "leaked", "limit_descriptors": "limited", "limit_file_sizes": "limited"}


@each_executor
@pytest.mark.parametrize("name", SPOILT)
def test_a_process_without_descriptors_or_with_other_limits_runs_nothing_else(
    fleet: Fleet, executor: str, name: str
) -> None:
    worker = start(fleet, executor, "--concurrency", "1")
    wait_for(fleet.many("add", [(1, 1)] * 500), timeout=60)  # they are quick: from now on many are claimed at once
    hostile = fleet.enqueue(name)
    assert wait_for([hostile], timeout=60), worker.log
    innocents = fleet.many("innocent", [(0.02,)] * 10) + fleet.many("ainnocent", [(0.02,)] * 10)
    assert wait_for(innocents, timeout=60), worker.log
    assert hostile.get(0) == SPOILT[name]
    assert {(one.state, one.attempts) for one in innocents} == {(State.SUCCESS, 1)}


@pytest.mark.parametrize("executor", ["threads", "async", "mixed"])
@pytest.mark.parametrize("name", ["arm_an_alarm", "arm_a_timer"])
def test_a_timer_that_was_armed_beside_others_kills_nobody(fleet: Fleet, executor: str, name: str) -> None:
    worker = start(fleet, executor, "--concurrency", "1")
    fleet.wait_idle(1)
    beside = fleet.enqueue("sleep_only", 3.0)
    wait_until(lambda: beside.state == State.STARTED, "it runs")
    assert fleet.enqueue(name).get(timeout=60) == "armed"
    assert wait_for([beside], timeout=60), worker.log
    assert (beside.state, beside.attempts) == (State.SUCCESS, 1)


@pytest.mark.parametrize("executor", ["threads", "async", "mixed"])
def test_a_limit_that_was_lowered_beside_others_reaches_nobody_new(fleet: Fleet, executor: str) -> None:
    worker = start(fleet, executor, "--concurrency", "1")
    fleet.wait_idle(1)
    beside = fleet.enqueue("sleep_only", 3.0)
    wait_until(lambda: beside.state == State.STARTED, "it runs")
    assert fleet.enqueue("limit_file_sizes").get(timeout=60) == "limited"
    innocents = fleet.many("innocent", [(0.02,)] * 10) + fleet.many("ainnocent", [(0.02,)] * 10)
    assert wait_for([beside, *innocents], timeout=60), worker.log
    assert {(one.state, one.attempts) for one in (beside, *innocents)} == {(State.SUCCESS, 1)}


@each_executor
def test_a_log_handler_that_raises_harms_nothing(fleet: Fleet, executor: str) -> None:
    worker = start(fleet, executor, "--concurrency", "1")
    hostile = [fleet.enqueue("break_logging") for _ in range(2)]  # each changes something that is restored and logged
    innocents = fleet.many("innocent", [(0.02,)] * 5)
    assert wait_for([*hostile, *innocents], timeout=60), worker.log
    assert {(one.state, one.attempts) for one in (*hostile, *innocents)} == {(State.SUCCESS, 1)}
    worker.wait_log("a log handler has raised RuntimeError")


@each_executor
def test_streams_that_raise_are_replaced(fleet: Fleet, executor: str) -> None:
    worker = start(fleet, executor, "--concurrency", "1")
    hostile = [fleet.enqueue("break_the_streams") for _ in range(2)]
    assert wait_for(hostile, timeout=60), worker.log
    printed = fleet.enqueue("print_something", "printed after all")
    assert printed.get(timeout=60) == "printed after all"
    assert {(one.state, one.attempts) for one in (*hostile, printed)} == {(State.SUCCESS, 1)}
    worker.wait_log("printed after all")


@each_executor
def test_a_task_that_has_used_up_its_memory_fails_and_goes(fleet: Fleet, executor: str) -> None:
    worker = start(fleet, executor, "--concurrency", "1")
    for _ in range(2):  # nothing beside it, which would lack memory as well
        hostile = fleet.enqueue("use_up_its_memory")
        assert wait_for([hostile], timeout=60), worker.log
        assert (hostile.state, hostile.attempts) == (State.FAILURE, 1)
    innocents = fleet.many("innocent", [(0.02,)] * 5)
    assert wait_for(innocents, timeout=60), worker.log
    assert {(one.state, one.attempts) for one in innocents} == {(State.SUCCESS, 1)}
