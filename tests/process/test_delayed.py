"""Delayed tasks start at their time: never early, and hardly late."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from streamtasks import State
from tests.support.bounds import Bound
from tests.support.fleet import Fleet
from tests.support.measurements import MS, lateness, percentile
from tests.support.waiting import wait_until


def test_delayed_tasks_start_on_time(fleet: Fleet, figure: Callable[[str], None], bound: Bound) -> None:
    fleet.start("--concurrency", "2")
    fleet.wait_idle(2)
    late = lateness(fleet, 16)
    figure(f"{len(late)} tasks, 4 a second: late by p50 {percentile(late, 0.5):.1f} ms, max {max(late):.1f} ms")
    assert min(late) >= 0, "a task started early"
    # Mostly 5 ms, which `benchmarks/figures.py` measures.
    assert percentile(late, 0.5) <= bound.typical_after_pause(0.01) * MS
    assert max(late) <= bound(0.25) * MS


def test_a_new_earlier_time_wakes_the_promoter(
    fleet: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    fleet.start("--concurrency", "1")
    fleet.wait_idle(1)
    late = []
    for seconds in (600, 400, 200):
        later = fleet.enqueue("add", 1, 1, run_after=timedelta(seconds=seconds))
        result = fleet.enqueue("add", 2, 1, run_after=timedelta(milliseconds=150))
        due_ms = result.snapshot().due_ms
        assert result.get(timeout=60) == 3
        late.append(fleet.record.of(result)[0].started_wall * 1000 - due_ms)
        assert later.state == State.DELAYED
    figure(f"late by at most {max(late):.1f} ms")
    assert min(late) >= 0
    assert max(late) <= bound(0.25) * MS


def test_delays_outlive_the_worker(fleet: Fleet) -> None:
    worker = fleet.start("--concurrency", "1")
    result = fleet.enqueue("add", 1, 2, run_after=timedelta(seconds=3))
    worker.end()
    wait_until(lambda: fleet.client.time()[0] * 1000 > result.snapshot().due_ms, "it is due")
    assert result.state == State.DELAYED
    fleet.start("--concurrency", "1")
    assert result.get(timeout=60) == 3
