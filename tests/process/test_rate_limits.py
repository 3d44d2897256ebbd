"""Rate limits hold over all workers, to the start, and cost nobody else anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from streamtasks import State
from streamtasks.results import Result
from tests.support.workers import Field, kill, percentile, wait_for_value

pytestmark = pytest.mark.slow

LATE_S = 0.06
"""From a claim to the first line of the task, on a machine that does other things, too."""


def starts(field: Field, results: Iterable[Result[Any]]) -> list[float]:
    ids = {result.id for result in results}
    return [e.started for e in field.record.executions() if e.id in ids]


def most_in_a_second(times: list[float]) -> int:
    return max(sum(1 for other in times if one <= other < one + 1.0) for one in times)


def left_over(field: Field) -> list[str]:
    names: Any = field.client.keys("*")
    return [name for name in names if name.rpartition("}:")[2].startswith(("waiting", "limit", "asking"))]


def wait_for_starts(field: Field, count: int) -> None:
    wait_for_value(lambda: len(field.record.executions()) >= count, 10, f"{count} starts")


def wait_forgotten(field: Field, timeout_s: float = 10.0) -> None:
    wait_for_value(lambda: not left_over(field), timeout_s, lambda: f"no limit is remembered: {left_over(field)}")


def per_user(user: int, _: int) -> str:
    return f"user {user}"


def test_never_more_and_hardly_fewer_than_the_rate(field: Field, figure: Callable[[str], None]) -> None:
    """Two workers, two keepers, four children; unlimited tasks run beside it as if it were not there."""
    for _ in range(2):
        field.start("--concurrency", "2")
    field.wait_idle(4)
    limited = field.many("add", [(n, 1) for n in range(40)], rate_limit="10/s")
    assert limited[-1].snapshot().waits_for == "add"
    delays = []
    while field.unfinished():
        enqueued = time.monotonic()
        free = field.enqueue("aadd", 1, 1)
        delays.append(field.record.wait_started(free).started - enqueued)
        time.sleep(0.05)
    times = starts(field, limited)
    took, ideal = times[-1] - times[0], 39 / 10
    figure(
        f"40 tasks at 10/s: at most {most_in_a_second(times)} in a second, {took:.3f} s of {ideal:.3f} s; unlimited "
        f"ones beside them start after p50 {percentile(delays, 0.5) * 1000:.1f} ms"
    )
    assert len(times) == 40
    assert most_in_a_second(times) <= 11
    assert ideal - LATE_S <= took <= 1.05 * ideal
    assert percentile(delays, 0.5) < 0.05
    assert [e.id for e in field.record.executions() if e.id in {r.id for r in limited}][:3] == [
        result.id for result in limited[:3]
    ]
    wait_forgotten(field)


def test_priority_then_order(field: Field) -> None:
    field.start("--concurrency", "1")
    field.wait_idle(1)
    first = field.many("add", [(n, 1) for n in range(6)], rate_limit="10/s")
    field.record.wait_started(first[0])
    low = field.many("add", [(n, 1) for n in range(3)], rate_limit="10/s", priority=-5)
    high = field.many("add", [(n, 1) for n in range(3)], rate_limit="10/s", priority=5)
    assert {result.state for result in (*low, *high)} == {State.LIMITED}
    field.wait_drained(10)
    order = [e.id for e in field.record.executions()]
    assert order == [r.id for r in (first[0], *high, *first[1:], *low)]


def test_a_burst_after_a_pause(field: Field) -> None:
    field.start("--concurrency", "2")
    field.wait_idle(2)
    results = field.many("add", [(n, 1) for n in range(12)], rate_limit="10/s", rate_limit_burst=8)
    field.wait_drained(10)
    times = sorted(starts(field, results))
    assert times[7] - times[0] < 0.1, "a burst"
    for one, other in pairwise(times[7:]):
        assert other - one > 0.1 - 0.02 - LATE_S
    assert times[-1] - times[0] > 0.4 - 0.02 - LATE_S


def test_a_killed_worker_costs_one_token_at_most(field: Field, figure: Callable[[str], None]) -> None:
    field.configure(lease_s=1.0)
    workers = [field.start("--concurrency", "2") for _ in range(3)]
    field.wait_idle(6)
    results = field.many("add", [(n, 1) for n in range(60)], rate_limit="20/s")
    for worker in workers[:2]:
        wait_for_starts(field, len(field.record.executions()) + 15)
        for pid in worker.all_pids():
            kill(pid)
    field.wait_drained(20)
    times = sorted(starts(field, results))
    # What a dead worker had claimed comes back after its lease: two at most, and not counted here.
    took, ideal = times[57] - times[0], 57 / 20
    figure(f"two of three workers killed: 58 starts at 20/s took {took:.3f} s, without any loss {ideal:.3f} s")
    assert most_in_a_second(times) <= 21
    assert took <= ideal + 2 / 20 + 0.15
    wait_forgotten(field)


def test_retries_and_crashes_count_as_starts(field: Field) -> None:
    field.configure(crash_limit=3, crash_delay_s=0.0)
    field.start("--concurrency", "2")
    field.wait_idle(2)
    again = field.enqueue("again", 3, 0.0, rate_limit="5/s")
    crashing = field.enqueue("die_by_signal", rate_limit="5/s")
    free = field.enqueue("add", 1, 1)
    assert free.get(timeout=5) == 2
    field.wait_drained(15)
    assert again.get(timeout=5) == 4
    assert crashing.state == State.DEAD
    for result, times in ((again, 4), (crashing, 3)):
        found = sorted(starts(field, [result]))
        assert len(found) == times
        for one, other in pairwise(found):
            assert other - one > 0.2 - 0.02 - LATE_S
    wait_forgotten(field)


def test_revoked_and_delayed_ones(field: Field) -> None:
    field.start("--concurrency", "1")
    field.wait_idle(1)
    results = field.many("add", [(n, 1) for n in range(4)], rate_limit="4/s")
    delayed = field.enqueue("add", 1, 2, rate_limit="4/s", run_after=timedelta(seconds=0.6))
    due_ms = delayed.snapshot().due_ms
    assert results[2].state == State.LIMITED
    field.app.store.revoke(results[2].id)
    assert results[2].state == State.REVOKED
    field.wait_drained(10)
    assert field.record.of(results[2]) == []
    assert field.record.of(delayed)[0].started_wall * 1000 >= due_ms
    times = sorted(starts(field, [*results, delayed]))
    assert len(times) == 4
    for one, other in pairwise(times):
        assert other - one > 0.25 - 0.02 - LATE_S


def test_each_key_has_its_own_limit(field: Field) -> None:
    field.start("--concurrency", "2")
    field.wait_idle(2)
    task = field.app.tasks["add"].using(rate_limit="5/s", rate_limit_key=per_user)
    results = task.enqueue_many([(user, n) for n in range(4) for user in range(3)])
    field.wait_drained(10)
    for user in range(3):
        times = sorted(starts(field, results[user::3]))
        for one, other in pairwise(times):
            assert other - one > 0.2 - 0.02 - LATE_S
        assert times[-1] - times[0] < 3 * 0.2 + 0.3
    wait_forgotten(field)


@pytest.mark.parametrize("new", ["50/s", None])
def test_a_new_rate_takes_effect_for_those_who_wait(field: Field, new: str | None) -> None:
    field.start("--concurrency", "1")
    field.wait_idle(1)
    results = field.many("add", [(n, 1) for n in range(8)], rate_limit="1/h")
    field.record.wait_started(results[0])
    assert results[1].state == State.LIMITED
    last = field.enqueue("add", 1, 2, rate_limit=new)
    if new is None:
        assert last.get(timeout=5) == 3, "and whoever has none does not wait"
        field.enqueue("add", 1, 2, rate_limit="50/s")
    field.wait_drained(5)


def test_thousands_of_limits_leave_nothing_behind(field: Field, figure: Callable[[str], None]) -> None:
    field.start("--concurrency", "2")
    field.wait_idle(2)
    task = field.app.tasks["add"].using(rate_limit="10/s", rate_limit_key=per_user)
    began = time.monotonic()
    task.enqueue_many([(user, 1) for user in range(10_000)])
    field.wait_drained(40)
    figure(f"10,000 tasks with a limit each: {time.monotonic() - began:.1f} s")
    wait_forgotten(field)


def test_those_that_expire_while_they_wait_hold_nobody_up(field: Field) -> None:
    field.start("--concurrency", "1")
    field.wait_idle(1)
    results = field.many("add", [(n, 1) for n in range(50)], rate_limit="1/s", expires_s=0.5)
    last = field.enqueue("add", 1, 2, rate_limit="1/s")
    assert last.get(timeout=8) == 3
    assert {result.state for result in results[2:]} == {State.EXPIRED}
    assert len(starts(field, results)) <= 2
    wait_forgotten(field)


def test_limits_outlive_the_workers(field: Field) -> None:
    worker = field.start("--concurrency", "1")
    field.wait_idle(1)
    results = field.many("add", [(n, 1) for n in range(5)], rate_limit="2/s")
    field.record.wait_started(results[1])
    worker.end()
    field.start("--concurrency", "1")
    field.wait_drained(40)
    for one, other in pairwise(sorted(starts(field, results))):
        assert other - one > 0.5 - 0.02 - LATE_S
