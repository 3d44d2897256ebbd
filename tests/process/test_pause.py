"""A paused queue keeps its tasks while real workers wait, start and end; a resumed one wakes them."""

from __future__ import annotations

from datetime import timedelta

from streamtasks import State
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until


def test_workers_leave_a_paused_queue_alone(fleet: Fleet) -> None:
    worker = fleet.start("--concurrency", "1")
    fleet.wait_idle(1)
    store = fleet.app.store
    store.pause("default", "ann", "test")
    paused = fleet.enqueue("add", 1, 2)
    late = fleet.enqueue("add", 2, 2, run_after=timedelta(milliseconds=50))
    assert fleet.enqueue("add", 3, 3, queue="other").get(timeout=60) == 6
    wait_until(lambda: late.state == State.QUEUED, "the delayed task has come to its queue")
    worker.end()
    fleet.start("--concurrency", "1")
    assert fleet.enqueue("add", 4, 4, queue="other").get(timeout=60) == 8
    fleet.wait_idle(1)
    assert (paused.state, late.state) == (State.QUEUED, State.QUEUED)
    store.resume("default")
    assert (paused.get(timeout=60), late.get(timeout=60)) == (3, 4)
    # The same worker, a task by its name: others of its queue go on, and a resume wakes the child that waits.
    fleet.wait_idle(1)
    store.pause("", "ann", "test", fleet.app.tasks["add"].name)
    held = [fleet.enqueue("add", n, n) for n in range(3)]
    assert fleet.enqueue("nap", 0.0).get(timeout=60) == 0
    fleet.wait_idle(1)
    assert {one.state for one in held} == {State.QUEUED}
    store.resume("", fleet.app.tasks["add"].name)
    assert [one.get(timeout=60) for one in held] == [0, 2, 4]
