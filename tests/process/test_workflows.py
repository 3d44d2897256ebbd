"""Workflows while workers are killed: every body has one outcome, none hangs, results stand in order."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import chain, chord, group
from streamtasks.exceptions import ParentFailed
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until
from tests.support.worker_process import kill

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamtasks import Result
    from streamtasks.tasks.step import Step


class Failed:
    """Stands for the result of what fails."""


class Writer:
    """Writes random workflows, and knows what they return. They may follow anything: none of them takes its result."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self._tasks: Any = fleet.app.tasks
        self._random = random.Random(seed)

    def workflow(self) -> tuple[Any, Any]:
        """A workflow whose last task returns what the part before it does."""
        step, value = self._step(4)
        return chain(step, self._tasks["give_back"].s()), value

    def _step(self, depth: int) -> tuple[Step, Any]:
        kind = self._random.random()
        if depth == 0 or kind < 0.35:
            return self._leaf()
        parts = [self._step(depth - 1) for _ in range(self._random.choice((0, 1, 1, 2, 3)))]
        values = [value for _, value in parts]
        whole = Failed if Failed in values else values
        if kind < 0.65:
            return group(step for step, _ in parts), whole
        return chord([step for step, _ in parts], self._tasks["give_back"].s()), whole

    def _leaf(self) -> tuple[Step, Any]:
        value, kind = self._random.randrange(1000), self._random.random()
        give_back = self._tasks["give_back"]
        if kind < 0.04:
            return self._tasks["fail"].si("boom"), Failed
        if kind < 0.2:
            return self._tasks["give_back_later"].si(value), value
        if kind < 0.3:
            return self._tasks["give_back_in_turn"].si(value), value
        return (give_back.si(value) if kind < 0.6 else chain(give_back.si(value), give_back.s())), value


def _workflows_under_kills(fleet: Fleet, seed: int, count: int, pause_s: float) -> str:
    fleet.configure(lease_s=2.0, crash_limit=50, lost_limit=50, crash_delay_s=0.1)
    chooser = random.Random(seed)

    def start() -> Any:
        return fleet.start("--concurrency", "2")

    workers = [start(), start()]
    writer = Writer(fleet, seed)
    give_back: Any = fleet.app.tasks["give_back"]
    started: list[tuple[Result[Any], Any]] = []
    kills = 0
    began = time.monotonic()
    due = began + pause_s
    while len(started) < count or fleet.unfinished():
        if len(started) < count:
            canvas, value = writer.workflow()
            linked = len(started) % 3 == 0
            started.append((give_back.apply_async(link=canvas) if linked else canvas.apply_async(), value))
            time.sleep(0.1)
        else:
            time.sleep(0.05)
        if time.monotonic() >= due:
            place = chooser.randrange(len(workers))
            pids = workers[place].pids()
            whole = chooser.random() < 0.4 or not pids.children
            kill(workers[place].process.pid if whole else chooser.choice(pids.children))
            kills += 1
            if whole:
                workers[place].process.wait()
                workers[place] = start()
            due = time.monotonic() + pause_s
        assert time.monotonic() - began < 240 + count, f"seed {seed}: {fleet.unfinished()} messages hang"
    expiring = []
    for first, expected in started:
        result = first if first.workflow else fleet.app.get_result(first.children[0])
        if expected is Failed:
            with pytest.raises(ParentFailed):
                result.get(timeout=60)
        else:
            assert result.get(timeout=60) == expected, f"seed {seed}: {result.workflow}"
        assert result.workflow is not None
        assert result.workflow.ready()
        expiring.append(fleet.client.pttl(fleet.keys.workflow(result.workflow.id)))
    assert min(expiring) > 0
    assert fleet.client.zcard(fleet.keys.unfolding) == 0
    assert fleet.client.hlen(fleet.keys.state) == 0
    return f"seed {seed}: {count} workflows, {kills} kills, {time.monotonic() - began:.1f} s"


def test_random_workflows_while_workers_are_killed(fleet: Fleet, seed: int, figure: Callable[[str], None]) -> None:
    figure(_workflows_under_kills(fleet, seed, count=30, pause_s=0.4))


@pytest.mark.chaos
@pytest.mark.timeout(400)
def test_many_random_workflows_while_workers_are_killed(fleet: Fleet, seed: int, figure: Callable[[str], None]) -> None:
    figure(_workflows_under_kills(fleet, seed, count=300, pause_s=1.0))


def test_a_large_chord_on_a_real_worker(fleet: Fleet, figure: Callable[[str], None]) -> None:
    fleet.start("--concurrency", "2")
    give_back: Any = fleet.app.tasks["give_back"]
    chord([give_back.s(0)])(give_back.s()).get(timeout=60)
    begun = time.monotonic()
    result = chord([give_back.s(n) for n in range(1000)])(give_back.s())
    assert result.get(timeout=60) == list(range(1000))
    figure(f"1,000 members that note each start and end: {time.monotonic() - begun:.2f} s")


@pytest.mark.parametrize("options", [("--threads", "4"), ("--async-concurrency", "8")])
def test_every_executor_gets_its_input(fleet: Fleet, options: tuple[str, ...]) -> None:
    fleet.start("--concurrency", "1", *options)
    tasks: Any = fleet.app.tasks
    add = tasks["aadd" if "--async-concurrency" in options else "add"]
    result = chain(add.s(1, 2), group(add.s(10), add.s(20)), tasks["give_back"].s()).apply_async()
    assert result.get(timeout=60) == [13, 23]


def test_a_producer_that_was_killed_leaves_nothing_running(fleet: Fleet) -> None:
    """What was staged and never made live is thrown away by a keeper; what is live goes on without its producer."""
    from streamtasks.stores.redis.operations.workflows import start_workflow, unfold_call
    from streamtasks.stores.redis.scripts import Call
    from streamtasks.stores.redis.shards import Operation, Request
    from streamtasks.workflows.start import prepare

    def only(calls: list[Call]) -> Operation[None]:
        yield calls

    give_back: Any = fleet.app.tasks["give_back"]
    store: Any = fleet.app.store
    halves = [prepare(group(give_back.s(n) for n in range(250))) for _ in range(2)]
    staged, live = (half.new for half in halves if half is not None)
    for new, calls in ((staged, 2), (live, 3)):
        request = next(start_workflow(store.shards, new))
        assert isinstance(request, Request)
        store.run(only(request.calls[:calls]))
    store.run(only([unfold_call(fleet.keys, live.id, ["0:default"], fleet.app.settings, "live")]))
    for one in (staged, live):
        fleet.client.zadd(fleet.keys.unfolding, {one.id: 1})
    fleet.start("--concurrency", "2")
    wait_until(lambda: fleet.unfinished() == 0, "all is gone or done")
    assert fleet.totals()["SUCCESS"] == 250
    assert fleet.client.exists(fleet.keys.workflow(staged.id)) == 0
    assert fleet.client.hlen(fleet.keys.state) == 0
