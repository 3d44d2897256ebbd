"""Graceful and less graceful stops."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest

from streamtasks import State
from tests.process.test_executors import EXECUTORS
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until
from tests.support.worker_process import is_alive


@pytest.mark.parametrize("executor", EXECUTORS)
def test_sigterm_under_load_loses_and_repeats_nothing(
    fleet: Fleet, executor: str, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    leaving = fleet.start("--concurrency", "2", "--grace", "60", *EXECUTORS[executor])
    staying = fleet.start("--concurrency", "1", *EXECUTORS[executor])
    results = fleet.many("anap" if executor == "async" else "nap", [(0.002,)] * 800)
    wait_until(lambda: fleet.totals().get("SUCCESS", 0) > 150, "work is under way")
    leaving_children = set(leaving.pids().children)
    told = time.monotonic()
    leaving.terminate()
    assert leaving.wait() == 0
    stopped = time.monotonic() - told
    fleet.wait_drained()
    executions = fleet.record.executions()
    late = max((e.started for e in executions if e.pid in leaving_children), default=told) - told
    staying_children = set(staying.pids().children)
    others = sorted(e.started for e in executions if e.pid in staying_children and e.started > told)
    gap = max((b - a for a, b in itertools.pairwise([told, *others])), default=0.0)
    figure(
        f"exit 0 after {stopped * 1e3:.0f} ms, last start there {late * 1e3:.0f} ms after SIGTERM; "
        f"longest gap elsewhere {gap * 1e3:.0f} ms"
    )
    assert set(Counter(e.id for e in executions).values()) == {1}
    assert len(executions) == len(results)
    assert fleet.totals() == {"SUCCESS": len(results)}
    assert all(result.attempts == 1 for result in results[::50])
    assert gap < bound(1.0)


def test_a_running_task_may_finish_within_the_grace_period(fleet: Fleet) -> None:
    worker = fleet.start("--concurrency", "2", "--grace", "60")
    gate = fleet.gate()
    results = [fleet.enqueue("nap_until", gate.path), fleet.enqueue("hold_gil_until", gate.path)]
    for result in results:
        fleet.record.wait_started(result)
    waiting = fleet.many("add", [(1, 1)] * 5)
    worker.terminate()
    worker.wait_log("stopping: running tasks may take")
    gate.open()
    assert worker.wait() == 0
    for result in results:
        assert (result.state, len(fleet.record.of(result))) == (State.SUCCESS, 1)
    assert {result.state for result in waiting} == {State.QUEUED}
    assert fleet.client.zcard(fleet.keys.workers) == 0


def test_after_the_grace_period_running_tasks_go_back_uncharged(
    fleet: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    worker = fleet.start("--concurrency", "2", "--grace", "0.5")
    result = fleet.enqueue("nap", 120)
    fleet.record.wait_started(result)
    fleet.start("--concurrency", "1", "--grace", "0")
    told = time.monotonic()
    worker.terminate()
    assert worker.wait() == 0
    again = fleet.record.wait_started(result, times=2)
    figure(f"running elsewhere {(again.started - told - 0.5) * 1e3:.0f} ms after the grace period")
    assert again.started - told < bound(1.5)
    wait_until(lambda: result.state == State.STARTED, "it is shown as running")
    assert (again.attempt, result.attempts, result.snapshot().reports) == (1, 1, [])
    assert "CRASH" not in fleet.totals()


@pytest.mark.parametrize("how", ["SIGTERM twice", "SIGQUIT", "SIGINT twice"])
def test_the_second_signal_stops_at_once(fleet: Fleet, how: str, bound: Callable[[float], float]) -> None:
    worker = fleet.start("--concurrency", "2", "--grace", "120")
    result = fleet.enqueue("nap", 120)
    fleet.record.wait_started(result)
    everyone = worker.all_pids()
    told = time.monotonic()
    if how == "SIGQUIT":
        worker.process.send_signal(signal.SIGQUIT)
    else:
        number = signal.SIGTERM if how == "SIGTERM twice" else signal.SIGINT
        worker.process.send_signal(number)
        worker.wait_log("stopping: running tasks may take")
        wait_until(lambda: time.monotonic() > told + 1.2, "a second signal is another one")
        worker.process.send_signal(number)
    assert worker.wait() != 0
    assert time.monotonic() - told < bound(3.5)
    wait_until(lambda: not any(is_alive(pid) for pid in everyone), "no process is left")
    assert (result.state, result.attempts) == (State.QUEUED, 0)
    assert fleet.client.zcard(fleet.keys.leases) == 0


def test_a_stop_signal_that_comes_twice_at_the_same_time_counts_once(fleet: Fleet) -> None:
    """Process managers send it to the group and to the process."""
    worker = fleet.start("--concurrency", "1", "--grace", "60")
    gate = fleet.gate()
    result = fleet.enqueue("nap_until", gate.path)
    fleet.record.wait_started(result)
    worker.terminate()
    worker.wait_log("stopping: running tasks may take")
    worker.terminate()
    wait_until(lambda: not worker.pends(signal.SIGTERM), "the second one is delivered, too")
    gate.open()
    assert worker.wait() == 0
    assert (result.state, len(fleet.record.of(result))) == (State.SUCCESS, 1)


def test_a_hang_up_of_the_terminal_stops_gracefully(fleet: Fleet) -> None:
    worker = fleet.start("--concurrency", "1", "--grace", "60")
    gate = fleet.gate()
    result = fleet.enqueue("nap_until", gate.path)
    fleet.record.wait_started(result)
    os.killpg(worker.process.pid, signal.SIGHUP)
    worker.wait_log("stopping: running tasks may take")
    gate.open()
    assert worker.wait() == 0
    assert (result.state, len(fleet.record.of(result))) == (State.SUCCESS, 1)


def test_a_quiet_worker_finishes_what_it_runs_and_claims_no_more(fleet: Fleet) -> None:
    worker = fleet.start("--concurrency", "2")
    gate = fleet.gate()
    running = fleet.enqueue("nap_until", gate.path)
    fleet.record.wait_started(running)
    os.killpg(worker.process.pid, signal.SIGTSTP)
    worker.wait_log("quiet: no more tasks are claimed")
    gate.open()
    wait_until(lambda: running.state == State.SUCCESS, "what runs is finished")
    wait_until(lambda: not worker.pids().children, "its children have left")
    waiting = fleet.enqueue("add", 1, 1)
    assert worker.process.poll() is None
    assert worker.registered(fleet.client)
    assert waiting.state == State.QUEUED
    worker.terminate()
    assert worker.wait() == 0


def test_what_a_task_prints_is_visible_while_it_runs(fleet: Fleet) -> None:
    worker = fleet.start("--concurrency", "1")
    result = fleet.enqueue("print_and_nap", "a line of a task", 60)
    fleet.record.wait_started(result)
    worker.wait_log("a line of a task")
    assert result.state != State.SUCCESS


def test_an_idle_worker_stops_at_once(
    fleet: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    worker = fleet.start("--concurrency", "4")
    fleet.wait_idle(4)
    told = time.monotonic()
    worker.terminate()
    assert worker.wait() == 0
    figure(f"exit 0 after {(time.monotonic() - told) * 1e3:.0f} ms")
    assert time.monotonic() - told < bound(1.5)


def test_a_message_that_wakes_a_leaving_child_starts_elsewhere(
    fleet: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    """The ring may be taken by a child that is about to leave; it must not be lost with it."""
    staying = fleet.start("--concurrency", "1")
    fleet.wait_idle(1)
    delays = []
    for turn in range(2):
        leaving = fleet.start("--concurrency", "4")
        fleet.wait_idle(5)
        # The child that has waited longest is woken first: let that be one of those that leave.
        assert fleet.enqueue("add", turn, 1).get(timeout=60) == turn + 1
        fleet.wait_idle(5)
        leaving.terminate()
        told = time.monotonic()
        results = []
        for step in range(4):
            wait_until(lambda: time.monotonic() >= told + step * 0.002, "a moment has passed")  # noqa: B023
            results.append((fleet.enqueue("add", step, 1), time.monotonic()))
        for result, enqueued in results:
            delays.append(fleet.record.wait_started(result).started - enqueued)
        assert leaving.wait() == 0
    figure(f"{len(delays)} messages around SIGTERM started after at most {max(delays) * 1e3:.0f} ms")
    assert staying.pids().children
    assert max(delays) <= bound(1.0)


def test_stop_signals_while_the_process_exits_leave_its_status(fleet: Fleet) -> None:
    worker = fleet.start("--concurrency", "1", app="late_signals_app:app")
    worker.terminate()
    assert worker.wait() == 0
