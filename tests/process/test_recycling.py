"""Children are replaced between tasks, by count and by memory."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from streamtasks import wait_for
from tests.process.test_executors import EXECUTORS
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_child_runs_exactly_so_many_tasks(fleet: Fleet, executor: str) -> None:
    fleet.start("--concurrency", "2", "--max-tasks-per-child", "25", *EXECUTORS[executor])
    results = fleet.many("aadd" if executor == "async" else "add", [(n, 1) for n in range(200)])
    assert wait_for(results, timeout=60)
    executions = fleet.record.executions()
    assert len({e.id for e in executions}) == len(executions) == 200
    by_child = Counter(e.pid for e in executions)
    assert max(by_child.values()) == 25
    # Two of them may be alive still.
    assert sum(1 for count in by_child.values() if count < 25) <= 2
    assert all(result.attempts == 1 for result in results[::10])
    assert "CRASH" not in fleet.totals()


@pytest.mark.parametrize("executor", ["threads", "async"])
def test_a_long_task_in_an_aged_child_starves_nobody(fleet: Fleet, executor: str) -> None:
    fleet.start("--concurrency", "1", "--max-tasks-per-child", "4", "--grace", "1", *EXECUTORS[executor])
    nap = "anap" if executor == "async" else "nap"
    gate = fleet.gate()
    long = fleet.enqueue(f"{nap}_until", gate.path)
    started = fleet.record.wait_started(long)
    quick = fleet.many(nap, [(0.01,)] * 20)
    assert wait_for(quick, timeout=60), "they do not wait for it"
    wait_until(lambda: time.monotonic() - started.started > 4.0, "it lasts far longer than the grace period")
    gate.open()
    assert long.get(timeout=60) == "opened", "it may finish, however short the grace period"
    [execution] = fleet.record.of(long)
    assert execution.pid == started.pid
    assert len({e.pid for result in quick for e in fleet.record.of(result)}) >= 5
    assert "CRASH" not in fleet.totals()


def test_a_child_that_has_grown_is_replaced(fleet: Fleet) -> None:
    fleet.start("--concurrency", "1", "--max-memory-per-child", "150")
    results = []
    for _ in range(6):
        results.append(fleet.enqueue("grow", 70))
        assert wait_for(results, timeout=60)
        quick = fleet.many("nap", [(0.03,)] * 10)  # memory is looked at a few times a second
        assert wait_for(quick, timeout=60)
        results += quick
    executions = fleet.record.executions()
    assert len(executions) == len(results) == len({e.id for e in executions})
    assert len({e.pid for e in executions}) >= 3
    assert "CRASH" not in fleet.totals()
