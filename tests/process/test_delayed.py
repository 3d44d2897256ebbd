"""Delayed tasks start at their time: never early, and hardly late."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from streamtasks import State
from tests.support.measures import lateness
from tests.support.workers import Field, percentile, wait_for_value


def test_delayed_tasks_start_on_time(field: Field, figure: Callable[[str], None]) -> None:
    field.start("--concurrency", "2")
    field.wait_idle(2)
    late = lateness(field, 16)
    figure(f"{len(late)} tasks, 4 a second: late by p50 {percentile(late, 0.5):.1f} ms, max {max(late):.1f} ms")
    assert min(late) >= 0, "a task started early"
    assert percentile(late, 0.5) <= 10
    assert max(late) <= 250


def test_a_new_earlier_time_wakes_the_promoter(field: Field, figure: Callable[[str], None]) -> None:
    field.start("--concurrency", "1")
    field.wait_idle(1)
    late = []
    for seconds in (60, 40, 20):
        later = field.enqueue("add", 1, 1, run_after=timedelta(seconds=seconds))
        result = field.enqueue("add", 2, 1, run_after=timedelta(milliseconds=150))
        due_ms = result.snapshot().due_ms
        assert result.get(timeout=5) == 3
        late.append(field.record.of(result)[0].started_wall * 1000 - due_ms)
        assert later.state == State.DELAYED
    figure(f"late by at most {max(late):.1f} ms")
    assert min(late) >= 0
    assert max(late) <= 250


def test_delays_outlive_the_worker(field: Field) -> None:
    worker = field.start("--concurrency", "1")
    result = field.enqueue("add", 1, 2, run_after=timedelta(seconds=1.5))
    worker.end()
    wait_for_value(lambda: field.client.time()[0] * 1000 > result.snapshot().due_ms, 10, "it is due")
    assert result.state == State.DELAYED
    field.start("--concurrency", "1")
    assert result.get(timeout=5) == 3
