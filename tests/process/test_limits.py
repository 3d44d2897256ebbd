"""Time limits hold in every executor: softly in the task, and for certain."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from streamtasks import State, wait_for
from streamtasks.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from streamtasks.results import Result
from tests.process.test_executors import EXECUTORS, each_executor
from tests.support.fleet import Fleet
from tests.support.measurements import percentile
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

LIMIT_S = 0.4


def limited(fleet: Fleet, name: str, *args: Any, **options: Any) -> Result[Any]:
    return fleet.app.tasks[name].apply_async(args, **options)


def late_s(fleet: Fleet, result: Result[Any], limit_s: float = LIMIT_S) -> float:
    """How long after its limit the outcome of a task was recorded."""
    assert result.finished_at is not None
    return result.finished_at.timestamp() - fleet.record.of(result)[0].started_wall - limit_s


STUCK = [
    *((executor, name) for executor in ("inline", "threads") for name in ("burn", "burn_free", "nap", "stubborn")),
    *((executor, name) for executor in ("inline", "async") for name in ("anap", "astubborn", "aburn")),
    ("mixed", "burn_free"),
]


@pytest.mark.parametrize(("executor", "name"), STUCK)
def test_a_hard_limit_ends_whatever_the_task_does(
    fleet: Fleet, executor: str, name: str, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    worker = fleet.start("--concurrency", "1", "--grace", "5", *EXECUTORS[executor])
    fleet.wait_idle(1)
    result = limited(fleet, name, 30, time_limit=LIMIT_S)
    assert wait_for([result], timeout=60), worker.log
    late = late_s(fleet, result)
    figure(f"recorded {late * 1e3:.0f} ms after the limit")
    assert -0.01 <= late < bound(1.0)
    assert (result.state, result.attempts, len(fleet.record.of(result))) == (State.FAILURE, 1, 1)
    with pytest.raises(TimeLimitExceeded, match=r"time limit of 0\.4 s"):
        result.get(0)
    # The next one runs, in this child or in another.
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3
    wait_until(lambda: len(worker.pids().children) == 1, "one child is left")
    assert "CRASH" not in fleet.totals()


@pytest.mark.parametrize(
    ("executor", "name"),
    [("threads", "burn"), ("threads", "burn_free"), ("threads", "stubborn"), ("async", "astubborn"), ("mixed", "burn")],
)
def test_siblings_are_not_charged(fleet: Fleet, executor: str, name: str) -> None:
    options = {"threads": ("--threads", "4"), "async": ("--async-concurrency", "4"), "mixed": EXECUTORS["mixed"]}
    fleet.start("--concurrency", "1", "--grace", "10", *options[executor])
    fleet.wait_idle(1)
    sibling = fleet.enqueue("anap" if executor == "async" else "nap", 3)
    fleet.record.wait_started(sibling)
    result = limited(fleet, name, 30, time_limit=LIMIT_S)
    assert wait_for([sibling, result], timeout=60)
    assert isinstance(result.result, TimeLimitExceeded)
    assert (sibling.state, sibling.attempts) == (State.SUCCESS, 1)
    # Only one that holds the interpreter takes its siblings with it: those run again.
    assert len(fleet.record.of(sibling)) == (2 if name == "burn" else 1)
    assert "CRASH" not in fleet.totals()


@pytest.mark.parametrize("executor", ["threads"])
def test_a_child_is_replaced_while_an_attempt_lives_on_in_it(fleet: Fleet, executor: str) -> None:
    worker = fleet.start("--concurrency", "1", "--grace", "120", *EXECUTORS[executor])
    [first] = worker.pids().children
    gate = fleet.gate()
    sibling = fleet.enqueue("nap_until", gate.path)
    result = limited(fleet, "burn_free", 30, time_limit=LIMIT_S)
    assert wait_for([result], timeout=60)
    assert not sibling.ready()
    quick = fleet.enqueue("add", 1, 2)
    assert quick.get(timeout=60) == 3
    assert fleet.record.of(quick)[0].pid != first, "it claims no more"
    gate.open()
    assert sibling.get(timeout=60) == "opened"
    assert fleet.record.of(sibling)[0].pid == first
    # With its last sibling the old child ends, before its grace period is over.
    wait_until(lambda: first not in worker.pids().children, "the old child ends")
    assert len(worker.pids().children) == 1


def test_a_soft_limit_interrupts_what_waits(
    fleet: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    worker = fleet.start("--concurrency", "1")
    before = worker.pids().children
    for how in ("sleep", "select", "lock", "queue", "read", "loop", "process"):
        result = limited(fleet, "wait_in", how, soft_time_limit=LIMIT_S)
        assert result.get(timeout=60) == "tidied up", how
        late = late_s(fleet, result)
        figure(f"{how}: {late * 1e3:.0f} ms after the limit")
        assert -0.01 <= late < bound(0.3), how
    assert worker.pids().children == before


def test_a_soft_limit_that_falls_into_a_finaliser_strikes_behind_it(
    fleet: Fleet, bound: Callable[[float], float]
) -> None:
    worker = fleet.start("--concurrency", "1")
    result = limited(fleet, "finalise", LIMIT_S + 0.15, soft_time_limit=LIMIT_S)
    assert result.get(timeout=60) == "tidied up"
    assert 0.15 <= late_s(fleet, result) < bound(0.5)
    assert "Exception ignored" not in worker.log


@pytest.mark.parametrize("executor", ["inline", "async"])
def test_a_soft_limit_strikes_a_coroutine_at_its_await(
    fleet: Fleet, executor: str, bound: Callable[[float], float]
) -> None:
    fleet.start("--concurrency", "1", *EXECUTORS[executor])
    for how in ("sleep", "event", "timeout", "gather", "thread", "shield"):
        result = limited(fleet, "await_in", how, soft_time_limit=LIMIT_S)
        assert result.get(timeout=60) == "tidied up", how
        assert -0.01 <= late_s(fleet, result) < bound(0.3), how


@each_executor
def test_a_soft_limit_that_nobody_catches_is_a_failure(
    fleet: Fleet, executor: str, bound: Callable[[float], float]
) -> None:
    fleet.start("--concurrency", "1", *EXECUTORS[executor])
    name = "anap" if executor == "async" else "spin_in_bytecode"
    result = limited(fleet, name, 30, soft_time_limit=LIMIT_S)
    assert wait_for([result], timeout=60)
    with pytest.raises(SoftTimeLimitExceeded, match=r"soft time limit of 0\.4 s"):
        result.get(0)
    assert late_s(fleet, result) < bound(0.5)


@each_executor
def test_limits_that_are_not_reached_change_nothing(fleet: Fleet, executor: str) -> None:
    worker = fleet.start("--concurrency", "1", *EXECUTORS[executor])
    before = worker.pids().children
    results = [limited(fleet, "add", n, 1, soft_time_limit=5, time_limit=10) for n in range(50)]
    results += [limited(fleet, "aadd", n, 1, soft_time_limit=5, time_limit=10) for n in range(50)]
    assert wait_for(results, timeout=60)
    assert {result.state for result in results} == {State.SUCCESS}
    assert worker.pids().children == before


@each_executor
def test_a_limit_near_the_task_s_end_never_harms_the_child_or_the_next_task(fleet: Fleet, executor: str) -> None:
    worker = fleet.start("--concurrency", "1", *EXECUTORS[executor])
    before = worker.pids().children
    name = "anap" if executor == "async" else "nap"
    results = [limited(fleet, name, 0.02 + n % 20 / 1000, soft_time_limit=0.03) for n in range(120)]
    # On a slow machine none of those may end before its limit: these do.
    results += [limited(fleet, name, 0, soft_time_limit=0.03) for _ in range(10)]
    others = fleet.many("add", [(n, 1) for n in range(120)])
    assert wait_for([*results, *others], timeout=60)
    assert {result.state for result in others} == {State.SUCCESS}
    states = [result.state for result in results]
    assert set(states) == {State.SUCCESS, State.FAILURE}, "both sides of the limit were met"
    for result in results:
        if result.state == State.FAILURE:
            assert isinstance(result.result, SoftTimeLimitExceeded)
    assert worker.pids().children == before
    assert "CRASH" not in fleet.totals()


def test_the_worker_s_own_limit_holds_where_nothing_else_is_said(fleet: Fleet) -> None:
    fleet.start("--concurrency", "2", environment={"STREAMTASKS_WORKER_TIME_LIMIT": "0.3"})
    default, longer = fleet.enqueue("nap", 30), limited(fleet, "nap", 0.6, time_limit=5)
    assert wait_for([default, longer], timeout=60)
    assert isinstance(default.result, TimeLimitExceeded)
    assert longer.get(0) == 0.6


def test_a_hard_limit_named_by_autoretry_is_retried(fleet: Fleet) -> None:
    fleet.start("--concurrency", "1")
    task = fleet.app.tasks["slow_first"]
    result = task.enqueue(30)
    assert result.get(timeout=60) == 2
    assert [report["error"]["type"] for report in result.snapshot().reports] == [
        "streamtasks.exceptions.TimeLimitExceeded"
    ]


@pytest.mark.parametrize("executor", ["inline", "threads", "async"])
def test_a_hundred_limits_in_a_row_leave_nothing(fleet: Fleet, executor: str, figure: Callable[[str], None]) -> None:
    worker = fleet.start("--concurrency", "2", "--grace", "2", *EXECUTORS[executor])
    name = "anap" if executor == "async" else "nap"

    def memory() -> float:
        pids = worker.pids()
        assert pids.keeper is not None
        return sum(psutil.Process(pid).memory_info().rss for pid in (pids.supervisor, pids.keeper)) / 1e6

    def some(count: int) -> None:
        results = [limited(fleet, name, 30, time_limit=0.05) for _ in range(count)]
        assert wait_for(results, timeout=60)
        assert {result.state for result in results} == {State.FAILURE}

    some(20)
    before, began = memory(), time.monotonic()
    some(100)
    took = time.monotonic() - began
    fleet.wait_drained()  # of messages that tell of their ends, too
    wait_until(lambda: len(worker.all_pids()) == 4, "root, keeper and two children are left")
    figure(f"100 in {took:.1f} s, memory of root and keeper {memory() - before:+.1f} MB")
    assert memory() - before < 4
    pending: list[int] = [fleet.client.xpending(name, "workers")["pending"] for name in fleet.client.keys("*:q:*")]
    assert sum(pending) == 0
    assert fleet.client.zcard(fleet.keys.running) == 0
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3


@each_executor
def test_a_soft_limit_leaves_no_memory_behind(fleet: Fleet, executor: str) -> None:
    worker = fleet.start("--concurrency", "1", *EXECUTORS[executor])
    [child] = worker.pids().children
    name = "anap" if executor == "async" else "nap"

    def some() -> float:
        results = [limited(fleet, name, 0.05, soft_time_limit=0.01) for _ in range(60)]
        assert wait_for(results, timeout=60)
        return psutil.Process(child).memory_info().rss / 1e6

    first = percentile([some(), some()], 1)
    assert some() - first < 3
    assert worker.pids().children == [child]
