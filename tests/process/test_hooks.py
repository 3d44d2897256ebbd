"""Whatever ends a task, its hooks and the middleware hear of it, also while children are killed."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable

import pytest

from streamtasks import State
from tests.process.tasks import proc_app
from tests.process.test_executors import EXECUTORS, each_executor
from tests.support.fleet import Fleet
from tests.support.worker_process import kill

pytestmark = pytest.mark.slow

SHORT = {"crash_delay_s": 0.1}
AT_ONCE = {"inline": 1, "threads": 4, "async": 8}
"""So many hooks may be between their start and the commit when a child is killed."""


def hooked(fleet: Fleet, executor: str) -> None:
    """Use the app with hooks, here and in a worker."""
    fleet.configure(**SHORT)
    fleet.app = proc_app.make_hooked(fleet.url, **SHORT)
    fleet.start("--concurrency", "2", "--grace", "2", *EXECUTORS[executor], app="proc_app:hooked")


def one_of_each(fleet: Fleet) -> dict[str, str]:
    """Enqueue a call for every way to end; return what is expected, by id."""
    tasks = fleet.app.tasks
    return {
        tasks["nap"].enqueue(0.001).id: State.SUCCESS,
        tasks["anap"].enqueue(0.001).id: State.SUCCESS,
        tasks["fail"].enqueue("no").id: State.FAILURE,
        tasks["retried"].enqueue("no").id: State.FAILURE,
        tasks["limited"].enqueue(30).id: State.FAILURE,
        tasks["told"].enqueue(0.001).id: State.SUCCESS,
        tasks["told"].enqueue(0.001, fails=True).id: State.FAILURE,
        tasks["told_limited"].enqueue(30).id: State.FAILURE,
        tasks["nap"].apply_async((1,), countdown=0.05, expires=0.01).id: State.EXPIRED,
    }


@each_executor
def test_every_end_is_told_once(fleet: Fleet, executor: str) -> None:
    hooked(fleet, executor)
    expected: dict[str, str] = {fleet.enqueue("die_by_signal").id: State.DEAD}
    fleet.wait_drained()  # what runs beside it might be told twice
    expected |= one_of_each(fleet)
    waiting = fleet.app.tasks["nap"].apply_async((1,), countdown=600)
    running = fleet.enqueue("anap" if executor == "async" else "nap", 30)
    fleet.record.wait_started(running)
    for revoked in (waiting, running):
        fleet.app.store.revoke(revoked.id, terminate=True)
        expected[revoked.id] = State.REVOKED
    fleet.wait_drained()
    snapshots = fleet.app.store.read(list(expected))
    assert {s.id: s.state for s in snapshots if s is not None} == expected
    for kind in "MH":
        final = [(task_id, state) for task_id, state in fleet.record.told(kind) if state != State.RETRY]
        assert Counter(final) == dict.fromkeys(expected.items(), 1), kind


@pytest.mark.parametrize("executor", AT_ONCE)
def test_every_end_is_told_while_children_are_killed(
    fleet: Fleet, executor: str, figure: Callable[[str], None]
) -> None:
    hooked(fleet, executor)
    [worker] = fleet.workers
    expected: dict[str, str] = {}
    dice, kills, end = random.Random(7), 0, time.monotonic() + 6
    while time.monotonic() < end:
        if fleet.unfinished() < 30:
            expected |= one_of_each(fleet)
            victim = fleet.enqueue("anap" if executor == "async" else "nap", 0.05)
            expected[victim.id] = State.REVOKED
            if dice.random() < 0.5:
                fleet.record.wait_started(victim)
            fleet.app.store.revoke(victim.id, terminate=True)
        children = worker.pids().children
        if children:
            kill(dice.choice(children))
            kills += 1
        time.sleep(dice.random() * 0.3)
    fleet.wait_drained()
    ids = list(expected)
    states = {
        s.id: s.state
        for at in range(0, len(ids), 100)
        for s in fleet.app.store.read(ids[at : at + 100])
        if s is not None
    }
    assert states.keys() == expected.keys()
    for kind in "MH":
        told = Counter(one for one in fleet.record.told(kind) if one[1] != State.RETRY)
        missing = [(task_id, state) for task_id, state in states.items() if not told[task_id, state]]
        assert not missing, f"{kind}: {missing[:3]} of {len(states)} were not told"
        twice = sum(times - 1 for times in told.values())
        figure(f"{kind}: {len(states)} ends with {kills} kills; {twice} told twice")
        assert twice <= kills * AT_ONCE[executor]
    assert set(states.values()) >= {State.SUCCESS, State.FAILURE, State.EXPIRED, State.REVOKED}


@each_executor
def test_a_hard_limit_that_is_retried_is_told_to_on_retry(fleet: Fleet, executor: str) -> None:
    hooked(fleet, executor)
    result = fleet.app.tasks["told_again"].enqueue(30)
    fleet.wait_drained()
    assert (result.state, result.attempts) == (State.FAILURE, 2)
    heard = sorted(state for task_id, state in fleet.record.told("H") if task_id == result.id)
    assert heard == [State.FAILURE, State.RETRY, "on_retry"]
    assert sorted(state for _, state in fleet.record.told("M")) == [State.FAILURE, State.RETRY]
