"""``executor="inline"`` on a task: alone in its child on the main thread, so that a limit ends it and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from streamtasks import State, wait_for
from streamtasks.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from tests.process.test_executors import EXECUTORS
from tests.process.test_limits import LIMIT_S, late_s, limited
from tests.support.execution_record import Execution
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

many_at_once = pytest.mark.parametrize("executor", ["threads", "async", "mixed"])


def overlaps(one: Execution, other: Execution) -> bool:
    """Whether two executions ran at the same time in one process."""
    return one.pid == other.pid and one.started < (other.ended or 1e12) and other.started < (one.ended or 1e12)


def neighbour(executor: str) -> str:
    return "anap" if executor == "async" else "nap"


@many_at_once
def test_it_runs_on_the_main_thread_outside_any_loop(fleet: Fleet, executor: str) -> None:
    fleet.start("--concurrency", "1", *EXECUTORS[executor])
    assert fleet.enqueue("loop_alone").get(timeout=60) == [True, True]
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3


@many_at_once
@pytest.mark.parametrize("name", ["burn_alone", "stubborn_alone"])
def test_its_limit_ends_it_at_once_and_harms_no_sibling(
    fleet: Fleet, executor: str, name: str, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    worker = fleet.start("--concurrency", "1", "--grace", "10", *EXECUTORS[executor])
    fleet.wait_idle(1)
    [child] = worker.pids().children
    before = fleet.many(neighbour(executor), [(0.4,)] * 3)
    for result in before:
        fleet.record.wait_started(result)
    result = limited(fleet, name, 30, time_limit=LIMIT_S)
    after = fleet.many(neighbour(executor), [(0.1,)] * 3)
    assert wait_for([*before, result, *after], timeout=60), worker.log
    late = late_s(fleet, result)
    figure(f"recorded {late * 1e3:.0f} ms after the limit")
    assert -0.01 <= late < bound(0.5)
    with pytest.raises(TimeLimitExceeded, match=r"time limit of 0\.4 s"):
        result.get(0)
    [execution] = fleet.record.of(result)
    assert execution.pid == child
    assert child not in worker.pids().children, "the child was killed"
    for sibling in (*before, *after):
        assert (sibling.state, sibling.attempts, len(fleet.record.of(sibling))) == (State.SUCCESS, 1, 1)
        assert not overlaps(execution, fleet.record.of(sibling)[0])
    assert not {"CRASH", "RECLAIMED"} & set(fleet.totals())


def test_a_soft_limit_comes_by_signal(fleet: Fleet, bound: Callable[[float], float]) -> None:
    worker = fleet.start("--concurrency", "1", *EXECUTORS["threads"])
    before = worker.pids().children
    for how in ("sleep", "lock", "read", "process"):
        result = limited(fleet, "wait_in_alone", how, soft_time_limit=LIMIT_S)
        assert result.get(timeout=60) == "tidied up", how
        assert -0.01 <= late_s(fleet, result) < bound(0.3), how
    result = limited(fleet, "nap_alone", 30, soft_time_limit=LIMIT_S)
    assert wait_for([result], timeout=60)
    assert isinstance(result.result, SoftTimeLimitExceeded)
    assert worker.pids().children == before


def test_revoked_while_it_runs_it_is_interrupted_and_then_killed(fleet: Fleet) -> None:
    worker = fleet.start("--concurrency", "1", *EXECUTORS["threads"])
    [child] = worker.pids().children
    gentle = fleet.enqueue("nap_alone", 30)
    fleet.record.wait_started(gentle)
    fleet.app.store.revoke(gentle.id, terminate=True)
    assert wait_for([gentle], timeout=60)
    assert worker.pids().children == [child]
    deaf = fleet.enqueue("burn_alone", 30)
    fleet.record.wait_started(deaf)
    fleet.app.store.revoke(deaf.id, terminate=True)
    assert wait_for([deaf], timeout=60)
    assert {gentle.state, deaf.state} == {State.REVOKED}
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3


def test_another_child_with_empty_hands_takes_it(fleet: Fleet, figure: Callable[[str], None]) -> None:
    """It is offered to others as soon as what runs in its child lasts; and that child goes on."""
    fleet.start("--concurrency", "2", *EXECUTORS["async"])
    fleet.wait_idle(2)
    long = fleet.enqueue("anap", 120)
    busy = fleet.record.wait_started(long).pid
    waits = []
    for _ in range(10):
        result = fleet.enqueue("nap_alone", 0.01)
        assert result.get(timeout=60) == 0.01
        [execution] = fleet.record.of(result)
        assert execution.pid != busy
        assert result.enqueued_at is not None
        waits.append(execution.started_wall - result.enqueued_at.timestamp())
    figure(f"started after at most {max(waits) * 1e3:.0f} ms")
    # Not for long does the busy child keep its places free for what others have taken.
    gate = fleet.gate()
    quick = fleet.many("anap_until", [(gate.path,)] * 12)
    assert {fleet.record.wait_started(result).pid for result in quick} > {busy}
    gate.open()
    assert wait_for(quick, timeout=60)
    assert not long.ready()


def test_a_busy_child_offers_it_to_others_and_goes_on_when_it_is_gone(fleet: Fleet) -> None:
    first = fleet.start("--concurrency", "1", *EXECUTORS["async"])
    long = fleet.enqueue("anap", 120)
    fleet.record.wait_started(long)
    alone = fleet.enqueue("nap_alone", 0.01)

    def line() -> str:
        found: Any = fleet.client.hget(fleet.keys.state, alone.id)
        return str(found)

    wait_until(lambda: " S " in line(), "it is offered")
    held_up = fleet.enqueue("anap", 0.01)
    time.sleep(0.3)
    assert not fleet.record.of(held_up), "the child makes room"
    fleet.start("--concurrency", "1")
    assert alone.get(timeout=60) == 0.01
    assert fleet.record.of(alone)[0].pid not in first.pids().children
    assert held_up.get(timeout=60) == 0.01
    assert not long.ready()


@many_at_once
def test_it_does_not_starve_among_others_nor_they_beside_it(fleet: Fleet, executor: str) -> None:
    """Both children are busy all the time; what must run alone gets its turn all the same."""
    fleet.start("--concurrency", "2", *EXECUTORS[executor])
    others = fleet.many(neighbour(executor), [(0.03 + n % 7 / 100,) for n in range(150)])
    alone = fleet.many("nap_alone", [(0.02,)] * 5)
    others += fleet.many(neighbour(executor), [(0.03 + n % 7 / 100,) for n in range(150)])
    first = limited(fleet, "nap_alone", 0.02, priority=5)
    assert first.get(timeout=60) == 0.02
    assert wait_for([*alone, *others], timeout=60)
    executions = fleet.record.executions()
    [early] = fleet.record.of(first)
    assert sum(one.started > early.ended for one in executions) > 50, "not only when all else is done"
    ids = {result.id for result in (*alone, first)}
    for one in (execution for execution in executions if execution.id in ids):
        assert not [other for other in executions if other.id != one.id and overlaps(one, other)]
    assert len(executions) == 306, "each ran once"
    assert not {"CRASH", "RECLAIMED"} & set(fleet.totals())


def test_its_child_s_death_is_charged_to_it_alone(fleet: Fleet) -> None:
    fleet.configure(crash_delay_s=0.05)
    fleet.start("--concurrency", "1", *EXECUTORS["threads"])
    siblings = fleet.many("nap", [(0.05,)] * 6)
    dead = fleet.enqueue("die_alone")
    siblings += fleet.many("nap", [(0.05,)] * 6)
    assert wait_for([dead, *siblings], timeout=60)
    assert (dead.state, dead.attempts) == (State.DEAD, 3)
    assert {(one.state, one.attempts, len(fleet.record.of(one))) for one in siblings} == {(State.SUCCESS, 1, 1)}
