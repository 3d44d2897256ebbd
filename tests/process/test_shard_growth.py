"""The list of shards grows while workers run: they serve the new ones without a restart."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import State
from streamtasks.protocol.shards import ALL_TAGS, new_id
from tests.process.test_executors import EXECUTORS
from tests.support.waiting import DEADLINE_S, wait_until
from tests.support.worker_process import kill

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamtasks.results import Result
    from tests.support.fleet import Fleet

TAGS = ALL_TAGS[:6]


def on_each(fleet: Fleet, tags: tuple[str, ...], count: int = 3) -> list[Result[Any]]:
    """Enqueue on each of these shards."""
    add = fleet.app.tasks["add"]
    return [add.apply_async((n, 1), task_id=new_id((tag,))) for n in range(count) for tag in tags]


def wait_all(results: list[Result[Any]]) -> None:
    wait_until(lambda: all(result.ready() for result in results), "all are finished", 2 * DEADLINE_S)
    assert {result.state for result in results} == {State.SUCCESS}


@pytest.mark.parametrize("executor", ["inline", "threads"])
@pytest.mark.parametrize("before", [1, 2])
def test_a_running_worker_serves_shards_that_are_added(
    fleet: Fleet, before: int, executor: str, figure: Callable[[str], None]
) -> None:
    """What runs meanwhile runs on, in the child that began it."""
    fleet.configure(tags=TAGS[:before])
    worker = fleet.start("--concurrency", "2", *EXECUTORS[executor])
    gate = fleet.gate()
    held = fleet.enqueue("nap_until", gate.path)
    pid = fleet.record.wait_started(held).pid
    results = on_each(fleet, TAGS[:before])
    fleet.configure(tags=TAGS)
    added = on_each(fleet, TAGS[before:], 1)
    asked = time.time()
    started = max(fleet.record.wait_started(result).started_wall for result in added)
    figure(f"from {before} shards to {len(TAGS)}, {executor}: the new ones are served after {started - asked:.2f} s")
    results += [*added, *on_each(fleet, TAGS)]
    wait_all(results)
    worker.wait_log("the shards of proc are 6 now")
    assert not held.ready()
    gate.open()
    wait_all([held])
    executions = fleet.record.executions()
    assert len(executions) == len(results) + 1
    assert [one.pid for one in executions if one.id == held.id] == [pid]
    wait_until(lambda: pid not in worker.pids().children and len(worker.pids().children) == 2, "two new ones are left")
    assert "ERROR" not in worker.log
    assert "Traceback" not in worker.log
    wait_all(on_each(fleet, TAGS))


def test_a_keeper_that_was_not_there_to_hear_of_it_reads_it(fleet: Fleet) -> None:
    fleet.configure(tags=TAGS[:2])
    worker = fleet.start("--concurrency", "1")
    wait_all(on_each(fleet, TAGS[:2]))
    keeper = worker.pids().keeper
    assert keeper is not None
    kill(keeper, signal.SIGSTOP)  # it is replaced after 5 s
    fleet.configure(tags=TAGS)
    wait_all(on_each(fleet, TAGS))


def test_it_grows_again_and_every_child_is_replaced_in_its_turn(fleet: Fleet) -> None:
    """There are boards for two more than the five children: the others serve the old shards until theirs is free."""
    fleet.configure(tags=TAGS[:2])
    worker = fleet.start("--concurrency", "5")
    first = set(worker.pids().children)
    for count in (4, 6):
        fleet.configure(tags=TAGS[:count])
        wait_all(on_each(fleet, TAGS[:count], 10))
    wait_until(lambda: not first.intersection(worker.pids().children), "all were replaced")
    wait_until(lambda: len(worker.pids().children) == 5, "five are left")
    wait_all(on_each(fleet, TAGS, 10))
    worker.terminate()
    assert worker.wait() == 0
    assert "ERROR" not in worker.log
