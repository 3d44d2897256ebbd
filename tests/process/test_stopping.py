"""Graceful and less graceful stops."""

from __future__ import annotations

import itertools
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest

from streamtasks import State
from tests.process.test_executors import EXECUTORS
from tests.support.workers import Field, is_alive, wait_for_value


@pytest.mark.parametrize("executor", EXECUTORS)
def test_sigterm_under_load_loses_and_repeats_nothing(
    field: Field, executor: str, figure: Callable[[str], None]
) -> None:
    leaving = field.start("--concurrency", "2", "--grace", "10", *EXECUTORS[executor])
    staying = field.start("--concurrency", "1", *EXECUTORS[executor])
    results = field.many("anap" if executor == "async" else "nap", [(0.002,)] * 800)
    wait_for_value(lambda: field.totals().get("SUCCESS", 0) > 150, 10, "work is under way")
    leaving_children = set(leaving.pids().children)
    told = time.monotonic()
    leaving.terminate()
    assert leaving.wait(10) == 0
    stopped = time.monotonic() - told
    field.wait_drained(30)
    executions = field.record.executions()
    late = max((e.started for e in executions if e.pid in leaving_children), default=told) - told
    others = sorted(e.started for e in executions if e.pid in staying.pids().children and e.started > told)
    gap = max((b - a for a, b in itertools.pairwise([told, *others])), default=0.0)
    figure(
        f"exit 0 after {stopped * 1e3:.0f} ms, last start there {late * 1e3:.0f} ms after SIGTERM; "
        f"longest gap elsewhere {gap * 1e3:.0f} ms"
    )
    assert set(Counter(e.id for e in executions).values()) == {1}
    assert len(executions) == len(results)
    assert field.totals() == {"SUCCESS": len(results)}
    assert all(result.attempts == 1 for result in results[::50])
    assert gap < 1.0


def test_a_running_task_may_finish_within_the_grace_period(field: Field) -> None:
    worker = field.start("--concurrency", "2", "--grace", "10")
    results = [field.enqueue("nap", 1.0), field.enqueue("hold_gil", 1.0)]
    for result in results:
        field.record.wait_started(result)
    waiting = field.many("add", [(1, 1)] * 5)
    worker.terminate()
    assert worker.wait(10) == 0
    for result in results:
        assert (result.state, len(field.record.of(result))) == (State.SUCCESS, 1)
    assert {result.state for result in waiting} == {State.QUEUED}
    assert field.client.zcard(field.keys.workers) == 0


def test_after_the_grace_period_running_tasks_go_back_uncharged(field: Field, figure: Callable[[str], None]) -> None:
    worker = field.start("--concurrency", "2", "--grace", "0.5")
    result = field.enqueue("nap", 8.0)
    field.record.wait_started(result)
    field.start("--concurrency", "1", "--grace", "0")
    told = time.monotonic()
    worker.terminate()
    assert worker.wait(10) == 0
    again = field.record.wait_started(result, 5, times=2)
    figure(f"running elsewhere {(again.started - told - 0.5) * 1e3:.0f} ms after the grace period")
    assert again.started - told < 1.5
    wait_for_value(lambda: result.state == State.STARTED, 5, "it is shown as running")
    assert (again.attempt, result.attempts, result.snapshot().reports) == (1, 1, [])
    assert "CRASH" not in field.totals()


@pytest.mark.parametrize("how", ["SIGTERM twice", "SIGQUIT", "SIGINT twice"])
def test_the_second_signal_stops_at_once(field: Field, how: str) -> None:
    worker = field.start("--concurrency", "2", "--grace", "30")
    result = field.enqueue("nap", 20.0)
    field.record.wait_started(result)
    everyone = worker.all_pids()
    told = time.monotonic()
    if how == "SIGQUIT":
        worker.process.send_signal(signal.SIGQUIT)
    else:
        number = signal.SIGTERM if how == "SIGTERM twice" else signal.SIGINT
        worker.process.send_signal(number)
        worker.wait_log("stopping: running tasks may take")
        worker.process.send_signal(number)
    assert worker.wait(5) != 0
    assert time.monotonic() - told < 2.0
    assert not any(is_alive(pid) for pid in everyone)
    assert (result.state, result.attempts) == (State.QUEUED, 0)
    assert field.client.zcard(field.keys.leases) == 0


def test_an_idle_worker_stops_at_once(field: Field, figure: Callable[[str], None]) -> None:
    worker = field.start("--concurrency", "4")
    field.wait_idle(4)
    told = time.monotonic()
    worker.terminate()
    assert worker.wait(5) == 0
    figure(f"exit 0 after {(time.monotonic() - told) * 1e3:.0f} ms")
    assert time.monotonic() - told < 1.5


def test_a_message_that_wakes_a_leaving_child_starts_elsewhere(field: Field, figure: Callable[[str], None]) -> None:
    """The ring may be taken by a child that is about to leave; it must not be lost with it."""
    staying = field.start("--concurrency", "1")
    field.wait_idle(1)
    delays = []
    for turn in range(2):
        leaving = field.start("--concurrency", "4")
        field.wait_idle(5)
        # The child that has waited longest is woken first: let that be one of those that leave.
        assert field.enqueue("add", turn, 1).get(timeout=5) == turn + 1
        field.wait_idle(5)
        leaving.terminate()
        told = time.monotonic()
        results = []
        for step in range(4):
            wait_for_value(lambda: time.monotonic() >= told + step * 0.002, 1, "a moment has passed")  # noqa: B023
            results.append((field.enqueue("add", step, 1), time.monotonic()))
        for result, enqueued in results:
            delays.append(field.record.wait_started(result, 10).started - enqueued)
        assert leaving.wait(10) == 0
    figure(f"{len(delays)} messages around SIGTERM started after at most {max(delays) * 1e3:.0f} ms")
    assert staying.pids().children
    assert max(delays) <= 1.0
