"""Leases follow liveness: long tasks keep theirs, stalled workers lose theirs and are fenced off."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from streamtasks import State, wait_for
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until
from tests.support.worker_process import is_alive

LEASE_S = 2.0
STALL_LEASE_S = 2.0
"""Longer, because a whole machine may stand still for a second too; then both workers are fenced, and rightly."""


@pytest.mark.parametrize("executor", [(), ("--threads", "2")], ids=["inline", "threads"])
def test_a_task_three_times_longer_than_its_lease_runs_once(fleet: Fleet, executor: tuple[str, ...]) -> None:
    fleet.configure(lease_s=LEASE_S)
    fleet.start("--concurrency", "2", *executor)
    napping, holding = fleet.enqueue("nap", 3.2 * LEASE_S), fleet.enqueue("hold_gil", 3.2 * LEASE_S)
    fleet.record.wait_started(napping)
    fleet.record.wait_started(holding)
    fleet.start("--concurrency", "1", *executor)  # somebody who would take them over
    assert wait_for([napping, holding], timeout=60)
    for result in (napping, holding):
        assert (result.state, result.attempts, len(fleet.record.of(result))) == (State.SUCCESS, 1, 1)
    assert fleet.totals() == {"SUCCESS": 2}


def test_the_lease_option_wins_over_the_app(fleet: Fleet) -> None:
    fleet.configure(lease_s=60.0)
    worker = fleet.start("--concurrency", "1", "--lease", "1")
    result = fleet.enqueue("nap", 5.0)
    fleet.record.wait_started(result)
    leases: Any = fleet.client.zrange(fleet.keys.leases, 0, -1, withscores=True)
    [(_, expires_ms)] = leases
    assert expires_ms / 1000 - time.time() <= 1.0
    worker.end()


def test_a_stalled_worker_is_fenced_and_its_late_outcomes_refused(
    fleet: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    fleet.configure(lease_s=STALL_LEASE_S)
    stalled = fleet.start("--concurrency", "2")
    results = [fleet.enqueue("steps", 600, 0.01) for _ in range(2)]  # longer than a worker starts
    before = [fleet.record.wait_started(result) for result in results]
    children = stalled.pids().children
    other = fleet.start("--concurrency", "2")
    stalled.stall()
    began = time.monotonic()
    second = [fleet.record.wait_started(result, times=2) for result in results]
    taken_over = time.monotonic() - began
    assert {e.pid for e in second} <= set(other.pids().children)
    resumed = time.monotonic()
    stalled.resume()
    wait_until(lambda: not any(is_alive(pid) for pid in children), "the stalled children are ended")
    fenced = time.monotonic() - resumed
    last_step = max(
        (at for result in results for pid, at in fleet.record.steps_by_pid(result) if pid in children), default=0.0
    )
    figure(
        f"taken over {taken_over:.2f} s after the stall (lease {STALL_LEASE_S:g} s); "
        f"fenced {fenced * 1e3:.0f} ms after it "
        f"went on, last step of a fenced task {max(0.0, last_step - resumed) * 1e3:.0f} ms after that"
    )
    assert wait_for(results, timeout=60)
    assert last_step - resumed < bound(0.3)
    assert "fenced: " in stalled.log or "stood still" in stalled.log
    for result, first in zip(results, before, strict=True):
        pids = [e.pid for e in fleet.record.of(result)]
        assert len(pids) == 2
        assert pids[0] == first.pid
        assert result.attempts == 2
        assert result.snapshot().worker.startswith(other.registered_name)
    assert fleet.totals()["SUCCESS"] == 2
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3
    wait_until(lambda: len(stalled.pids().children) == 2, "the fenced children are replaced")


def test_a_worker_that_stalls_under_load_adds_only_what_it_was_running(
    fleet: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    fleet.configure(lease_s=STALL_LEASE_S)
    stalled = fleet.start("--concurrency", "2")
    results = fleet.many("nap", [(0.001,)] * 1500)
    wait_until(lambda: fleet.totals().get("SUCCESS", 0) > 200, "work is under way")
    stalling_at = time.monotonic()
    stalled.stall()
    children = set(stalled.pids().children)
    # Stopping is not instant: what began and did not end by now was running when it stopped.
    stopped_at = time.monotonic()
    begun = [e for e in fleet.record.executions() if e.pid in children]
    running = sum(1 for e in begun if not e.ended)
    unfinished: Any = fleet.client.hkeys(fleet.keys.messages)
    fleet.start("--concurrency", "2")
    wait_until(lambda: fleet.unfinished() == 0, "the other worker does everything")
    stalled.resume()
    wait_until(lambda: not children & set(stalled.pids().children), "the stalled children are ended")
    assert fleet.totals()["SUCCESS"] == len(results)
    executions = fleet.record.executions()
    times = Counter(e.id for e in executions)
    extra = sum(count - 1 for count in times.values())
    begun_late = sum(1 for e in executions if e.pid in children and e.started > stopped_at)
    # An outcome is safe 20 ms after its end; for longer only where a busy machine held up the child or the keeper.
    earliest = stalling_at - bound(0.03)
    recent = sum(1 for e in executions if e.pid in children and earliest < e.ended <= stopped_at)
    figure(f"{extra} extra executions, {running} were running, {recent} had just ended; {begun_late} begun after it")
    assert len(times) == len(results)
    assert {task_id for task_id, count in times.items() if count > 1} <= set(unfinished), "a recorded one ran again"
    assert extra <= running + recent
    # Each child may have been stopped between the note of a start and its task's first line.
    assert begun_late <= len(children), "a stalled worker began messages whose claims it had lost"
