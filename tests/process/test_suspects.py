"""Suspects: one at a time in a worker, and only one child makes room for them (I7)."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from streamtasks import State
from tests.process.test_executors import EXECUTORS
from tests.support.fleet import Fleet
from tests.support.measurements import percentile
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_an_innocent_beside_a_task_that_kills_its_worker_is_lost_once_at_most(
    fleet: Fleet, executor: str, turn: int
) -> None:
    fleet.configure(lost_limit=3, lease_s=1.0)
    innocents = fleet.many("nap", [(0.06,)] * (2 + turn))
    poison = fleet.enqueue("die_with_worker")
    innocents += fleet.many("nap", [(0.06,)] * 3)
    results = [poison, *innocents]
    # Not fenced: a busy machine may keep a keeper from renewing for a second, and what it ended would run once more.
    worker = fleet.worker("--concurrency", "2", "--fence-after", "60", *EXECUTORS[executor])
    worker.spawn()
    deadline = time.monotonic() + 60
    while not all(result.ready() for result in results):
        assert time.monotonic() < deadline, worker.log
        if worker.process.poll() is not None:
            worker.end()
            worker.spawn()
        time.sleep(0.02)
    assert (poison.state, poison.attempts) == (State.DEAD, 3)
    for innocent in innocents:
        assert innocent.state == State.SUCCESS
        assert len(fleet.record.of(innocent)) <= 2


def test_what_must_run_alone_empties_the_hands_of_one_child(
    fleet: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    fleet.start("--concurrency", "2", *EXECUTORS["async"])
    fleet.wait_idle(2)
    gate = fleet.gate()
    long: list[int] = []
    while len(set(long)) < 2:
        long.append(fleet.record.wait_started(fleet.enqueue("anap_until", gate.path)).pid)
    alone = fleet.enqueue("nap_alone", 0.01)
    time.sleep(0.3)
    waits = []
    for _ in range(30):
        quick = fleet.enqueue("anap", 0.001)
        execution = fleet.record.wait_started(quick)
        assert quick.enqueued_at is not None
        waits.append(execution.started_wall - quick.enqueued_at.timestamp())
        time.sleep(0.03)
    figure(
        f"a quick task starts after p50 {percentile(waits, 0.5) * 1e3:.0f} ms, max {max(waits) * 1e3:.0f} ms, beside "
        f"{len(long)} long coroutines and one message that waits for empty hands"
    )
    assert not alone.ready()
    assert percentile(waits, 0.5) < bound(0.05)
    assert max(waits) < bound(0.5)
    gate.open()
    wait_until(alone.ready, "it ran as soon as its child had empty hands")
