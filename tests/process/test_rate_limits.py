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
from tests.support.bounds import Bound
from tests.support.fleet import Fleet
from tests.support.measurements import percentile
from tests.support.waiting import DEADLINE_S, wait_until
from tests.support.worker_process import kill

LATE_S = 0.06
"""From a claim to the first line of the task, on a machine that does other things, too."""


def starts(fleet: Fleet, results: Iterable[Result[Any]]) -> list[float]:
    ids = {result.id for result in results}
    return [e.started for e in fleet.record.executions() if e.id in ids]


def most_in_a_second(times: list[float], late_s: float = 0.0) -> int:
    """The most starts within a second; ``late_s``: what may have started so much later than it was claimed."""
    return max(sum(1 for other in times if one <= other < one + 1.0 - late_s) for one in times)


def left_over(fleet: Fleet) -> list[str]:
    names: Any = fleet.client.keys("*")
    return [name for name in names if name.rpartition("}:")[2].startswith(("waiting", "limit", "asking"))]


def wait_for_starts(fleet: Fleet, count: int) -> None:
    wait_until(lambda: len(fleet.record.executions()) >= count, f"{count} starts")


def wait_forgotten(fleet: Fleet) -> None:
    wait_until(lambda: not left_over(fleet), lambda: f"no limit is remembered: {left_over(fleet)}")


def per_user(user: int, _: int) -> str:
    return f"user {user}"


@pytest.mark.timing
def test_never_more_and_hardly_fewer_than_the_rate(fleet: Fleet, figure: Callable[[str], None], bound: Bound) -> None:
    """Two workers, two keepers, four children; unlimited tasks run beside it as if it were not there."""
    for _ in range(2):
        fleet.start("--concurrency", "2")
    fleet.wait_idle(4)
    limited = fleet.many("add", [(n, 1) for n in range(40)], rate_limit="10/s")
    assert limited[-1].snapshot().waits_for == "add"
    delays = []
    while fleet.unfinished():
        enqueued = time.monotonic()
        free = fleet.enqueue("aadd", 1, 1)
        delays.append(fleet.record.wait_started(free).started - enqueued)
        time.sleep(0.05)
    times = starts(fleet, limited)
    took, ideal = times[-1] - times[0], 39 / 10
    figure(
        f"40 tasks at 10/s: at most {most_in_a_second(times)} in a second, {took:.3f} s of {ideal:.3f} s; unlimited "
        f"ones beside them start after p50 {percentile(delays, 0.5) * 1000:.1f} ms"
    )
    assert len(times) == 40
    still_s = bound.stood_still_s
    assert most_in_a_second(times, still_s) <= 11
    assert ideal - LATE_S - still_s <= took <= bound(1.05 * ideal)
    assert percentile(delays, 0.5) < bound.typical(0.05)
    assert [e.id for e in fleet.record.executions() if e.id in {r.id for r in limited}][:3] == [
        result.id for result in limited[:3]
    ]
    wait_forgotten(fleet)


@pytest.mark.slow
def test_priority_then_order(fleet: Fleet) -> None:
    fleet.start("--concurrency", "1")
    fleet.wait_idle(1)
    first = fleet.many("add", [(n, 1) for n in range(6)], rate_limit="4/s")
    fleet.record.wait_started(first[0])
    low = fleet.many("add", [(n, 1) for n in range(3)], rate_limit="4/s", priority=-5)
    high = fleet.many("add", [(n, 1) for n in range(3)], rate_limit="4/s", priority=5)
    assert {result.state for result in (*low, *high)} == {State.LIMITED}
    fleet.wait_drained()
    order = [e.id for e in fleet.record.executions()]
    assert order == [r.id for r in (first[0], *high, *first[1:], *low)]


@pytest.mark.timing
def test_a_burst_after_a_pause(fleet: Fleet, bound: Bound) -> None:
    fleet.start("--concurrency", "2")
    fleet.wait_idle(2)
    results = fleet.many("add", [(n, 1) for n in range(12)], rate_limit="10/s", rate_limit_burst=8)
    fleet.wait_drained()
    times = sorted(starts(fleet, results))
    late_s = LATE_S + bound.stood_still_s
    assert times[7] - times[0] < bound(0.1), "a burst"
    for one, other in pairwise(times[7:]):
        assert other - one > 0.1 - 0.02 - late_s
    assert times[-1] - times[0] > 0.4 - 0.02 - late_s


@pytest.mark.timing
def test_a_killed_worker_costs_one_token_at_most(fleet: Fleet, figure: Callable[[str], None], bound: Bound) -> None:
    fleet.configure(lease_s=1.0)
    workers = [fleet.start("--concurrency", "2") for _ in range(3)]
    fleet.wait_idle(6)
    results = fleet.many("add", [(n, 1) for n in range(60)], rate_limit="20/s")
    for worker in workers[:2]:
        wait_for_starts(fleet, len(fleet.record.executions()) + 15)
        for pid in worker.all_pids():
            kill(pid)
    fleet.wait_drained()
    times = sorted(starts(fleet, results))
    # What a dead worker had claimed comes back after its lease: two at most, and not counted here.
    took, ideal = times[57] - times[0], 57 / 20
    figure(f"two of three workers killed: 58 starts at 20/s took {took:.3f} s, without any loss {ideal:.3f} s")
    assert most_in_a_second(times, bound.stood_still_s) <= 21
    assert took <= bound(ideal + 2 / 20 + 0.15)
    wait_forgotten(fleet)


@pytest.mark.timing
def test_retries_and_crashes_count_as_starts(fleet: Fleet, bound: Bound) -> None:
    fleet.configure(crash_limit=3, crash_delay_s=0.0)
    fleet.start("--concurrency", "2")
    fleet.wait_idle(2)
    again = fleet.enqueue("again", 3, 0.0, rate_limit="5/s")
    crashing = fleet.enqueue("die_by_signal", rate_limit="5/s")
    free = fleet.enqueue("add", 1, 1)
    assert free.get(timeout=60) == 2
    fleet.wait_drained()
    assert again.get(timeout=60) == 4
    assert crashing.state == State.DEAD
    late_s = LATE_S + bound.stood_still_s
    for result, times in ((again, 4), (crashing, 3)):
        found = sorted(starts(fleet, [result]))
        assert len(found) == times
        for one, other in pairwise(found):
            assert other - one > 0.2 - 0.02 - late_s
    wait_forgotten(fleet)


@pytest.mark.timing
def test_revoked_and_delayed_ones(fleet: Fleet, bound: Bound) -> None:
    fleet.start("--concurrency", "1")
    fleet.wait_idle(1)
    results = fleet.many("add", [(n, 1) for n in range(4)], rate_limit="4/s")
    delayed = fleet.enqueue("add", 1, 2, rate_limit="4/s", run_after=timedelta(seconds=0.6))
    due_ms = delayed.snapshot().due_ms
    assert results[2].state == State.LIMITED
    fleet.app.store.revoke(results[2].id)
    assert results[2].state == State.REVOKED
    fleet.wait_drained()
    assert fleet.record.of(results[2]) == []
    assert fleet.record.of(delayed)[0].started_wall * 1000 >= due_ms
    times = sorted(starts(fleet, [*results, delayed]))
    late_s = LATE_S + bound.stood_still_s
    assert len(times) == 4
    for one, other in pairwise(times):
        assert other - one > 0.25 - 0.02 - late_s


@pytest.mark.timing
def test_each_key_has_its_own_limit(fleet: Fleet, bound: Bound) -> None:
    fleet.start("--concurrency", "2")
    fleet.wait_idle(2)
    task = fleet.app.tasks["add"].using(rate_limit="5/s", rate_limit_key=per_user)
    results = task.enqueue_many([(user, n) for n in range(4) for user in range(3)])
    fleet.wait_drained()
    late_s = LATE_S + bound.stood_still_s
    for user in range(3):
        times = sorted(starts(fleet, results[user::3]))
        for one, other in pairwise(times):
            assert other - one > 0.2 - 0.02 - late_s
        assert times[-1] - times[0] < bound(3 * 0.2 + 0.3)
    wait_forgotten(fleet)


@pytest.mark.slow
@pytest.mark.parametrize("new", ["50/s", None])
def test_a_new_rate_takes_effect_for_those_who_wait(fleet: Fleet, new: str | None) -> None:
    fleet.start("--concurrency", "1")
    fleet.wait_idle(1)
    results = fleet.many("add", [(n, 1) for n in range(8)], rate_limit="1/h")
    fleet.record.wait_started(results[0])
    assert results[1].state == State.LIMITED
    last = fleet.enqueue("add", 1, 2, rate_limit=new)
    if new is None:
        assert last.get(timeout=60) == 3, "and whoever has none does not wait"
        fleet.enqueue("add", 1, 2, rate_limit="50/s")
    fleet.wait_drained()


@pytest.mark.slow
def test_thousands_of_limits_leave_nothing_behind(fleet: Fleet, figure: Callable[[str], None]) -> None:
    fleet.start("--concurrency", "2")
    fleet.wait_idle(2)
    task = fleet.app.tasks["add"].using(rate_limit="10/s", rate_limit_key=per_user)
    began = time.monotonic()
    task.enqueue_many([(user, 1) for user in range(10_000)])
    fleet.wait_drained()
    figure(f"10,000 tasks with a limit each: {time.monotonic() - began:.1f} s")
    wait_forgotten(fleet)


@pytest.mark.slow
def test_those_that_expire_while_they_wait_hold_nobody_up(fleet: Fleet) -> None:
    fleet.start("--concurrency", "1")
    fleet.wait_idle(1)
    results = fleet.many("add", [(n, 1) for n in range(50)], rate_limit="1/s", expires_s=0.5)
    last = fleet.enqueue("add", 1, 2, rate_limit="1/s")
    assert last.get(timeout=60) == 3
    assert {result.state for result in results[2:]} == {State.EXPIRED}
    assert len(starts(fleet, results)) <= 2
    wait_forgotten(fleet)


@pytest.mark.timing
def test_limits_outlive_the_workers(fleet: Fleet, bound: Bound) -> None:
    worker = fleet.start("--concurrency", "1")
    fleet.wait_idle(1)
    results = fleet.many("add", [(n, 1) for n in range(5)], rate_limit="2/s")
    assert results[1].get(timeout=DEADLINE_S) == 2  # what a killed worker has not acknowledged would start once more
    worker.end()
    fleet.start("--concurrency", "1")
    fleet.wait_drained()
    times = sorted(starts(fleet, results))
    late_s = LATE_S + bound.stood_still_s
    assert len(times) == 5
    for one, other in pairwise(times):
        assert other - one > 0.5 - 0.02 - late_s
