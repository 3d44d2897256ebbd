"""Leases follow liveness: long tasks keep theirs, stalled workers lose theirs and are fenced off."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from streamtasks import State, wait_for
from tests.support.workers import Field, is_alive, wait_for_value

LEASE_S = 1.0
STALL_LEASE_S = 2.0
"""Longer, because a whole machine may stand still for a second too; then both workers are fenced, and rightly."""


@pytest.mark.parametrize("executor", [(), ("--threads", "2")], ids=["inline", "threads"])
def test_a_task_three_times_longer_than_its_lease_runs_once(field: Field, executor: tuple[str, ...]) -> None:
    field.configure(lease_s=LEASE_S)
    field.start("--concurrency", "2", *executor)
    napping, holding = field.enqueue("nap", 3.2 * LEASE_S), field.enqueue("hold_gil", 3.2 * LEASE_S)
    field.record.wait_started(napping)
    field.record.wait_started(holding)
    field.start("--concurrency", "1", *executor)  # somebody who would take them over
    assert wait_for([napping, holding], timeout=15)
    for result in (napping, holding):
        assert (result.state, result.attempts, len(field.record.of(result))) == (State.SUCCESS, 1, 1)
    assert field.totals() == {"SUCCESS": 2}


def test_the_lease_option_wins_over_the_app(field: Field) -> None:
    field.configure(lease_s=60.0)
    worker = field.start("--concurrency", "1", "--lease", "1")
    result = field.enqueue("nap", 5.0)
    field.record.wait_started(result)
    leases: Any = field.client.zrange(field.keys.leases, 0, -1, withscores=True)
    [(_, expires_ms)] = leases
    assert expires_ms / 1000 - time.time() <= 1.0
    worker.end()


def test_a_stalled_worker_is_fenced_and_its_late_outcomes_refused(field: Field, figure: Callable[[str], None]) -> None:
    field.configure(lease_s=STALL_LEASE_S)
    stalled = field.start("--concurrency", "2")
    results = [field.enqueue("steps", 300, 0.01) for _ in range(2)]
    before = [field.record.wait_started(result) for result in results]
    children = stalled.pids().children
    other = field.start("--concurrency", "2")
    stalled.stall()
    began = time.monotonic()
    second = [field.record.wait_started(result, 10, times=2) for result in results]
    taken_over = time.monotonic() - began
    assert {e.pid for e in second} <= set(other.pids().children)
    resumed = time.monotonic()
    stalled.resume()
    wait_for_value(lambda: not any(is_alive(pid) for pid in children), 2, "the stalled children are ended")
    fenced = time.monotonic() - resumed
    last_step = max(
        (at for result in results for pid, at in field.record.steps_by_pid(result) if pid in children), default=0.0
    )
    figure(
        f"taken over {taken_over:.2f} s after the stall (lease {STALL_LEASE_S:g} s); "
        f"fenced {fenced * 1e3:.0f} ms after it "
        f"went on, last step of a fenced task {max(0.0, last_step - resumed) * 1e3:.0f} ms after that"
    )
    assert wait_for(results, timeout=15)
    assert last_step - resumed < 0.3
    assert "fenced" in stalled.log or "stood still" in stalled.log
    for result, first in zip(results, before, strict=True):
        pids = [e.pid for e in field.record.of(result)]
        assert len(pids) == 2
        assert pids[0] == first.pid
        assert result.attempts == 2
        assert result.snapshot().worker.startswith(other.registered_name)
    assert field.totals()["SUCCESS"] == 2
    assert field.enqueue("add", 1, 2).get(timeout=5) == 3
    wait_for_value(lambda: len(stalled.pids().children) == 2, 5, "the fenced children are replaced")


def test_a_worker_that_stalls_under_load_adds_only_what_it_was_running(
    field: Field, figure: Callable[[str], None]
) -> None:
    field.configure(lease_s=STALL_LEASE_S)
    stalled = field.start("--concurrency", "2")
    results = field.many("nap", [(0.001,)] * 1500)
    wait_for_value(lambda: field.totals().get("SUCCESS", 0) > 200, 10, "work is under way")
    stalling_at = time.monotonic()
    stalled.stall()
    children = set(stalled.pids().children)
    # Stopping is not instant: what began and did not end by now was running when it stopped.
    stopped_at = time.monotonic()
    running = sum(1 for e in field.record.executions() if not e.ended and e.pid in children)
    field.start("--concurrency", "2")
    wait_for_value(lambda: field.unfinished() == 0, 20, "the other worker does everything")
    stalled.resume()
    wait_for_value(lambda: not children & set(stalled.pids().children), 5, "the stalled children are ended")
    assert field.totals()["SUCCESS"] == len(results)
    executions = field.record.executions()
    times = Counter(e.id for e in executions)
    extra = sum(count - 1 for count in times.values())
    begun_late = sum(1 for e in executions if e.pid in children and e.started > stopped_at)
    recent = sum(1 for e in executions if e.pid in children and stalling_at - 0.03 < e.ended <= stopped_at)
    figure(f"{extra} extra executions, {running} were running, {recent} had just ended; {begun_late} begun after it")
    assert len(times) == len(results)
    assert extra <= running + recent
    assert begun_late == 0, "a stalled worker began messages whose claims it had lost"
