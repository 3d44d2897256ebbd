"""Workers apply bulk operations, and go on with those of a process that was killed."""

from __future__ import annotations

from typing import Any

import pytest

from streamtasks.operations import bulk
from streamtasks.operations.filters import TaskFilter
from streamtasks.stores.bulk_types import BulkCounts, BulkState
from tests.support.fleet import Fleet
from tests.support.manual_consumer import Consumer, outcome_of
from tests.support.waiting import wait_until
from tests.support.worker_process import kill

BY: dict[str, Any] = {"actor": "ann", "reason": "test"}
LETTERS = 600


@pytest.mark.slow
def test_a_keeper_that_is_killed_leaves_nothing_undone_and_nothing_done_twice(fleet: Fleet) -> None:
    fleet.many("add", [(number, 1) for number in range(LETTERS)])
    with Consumer(fleet.app.store) as child:
        while held := child.claim():
            child.settle(*(outcome_of(one, "DEAD", b"{}")._replace(note="crashed") for one in held))
    fleet.app.store.pause("default", "ann", "")  # what is replayed stays, so that it can be counted
    worker = fleet.start("--concurrency", "1")
    owner = fleet.app.owner
    planned = bulk.plan(owner, "replay", TaskFilter(task=fleet.app.tasks["add"].name), **BY)
    bulk.apply(owner, planned.id, rate=300, **BY)
    wait_until(lambda: bulk.find(owner, planned.id).counts.done > 0, "the worker has begun")
    keeper = worker.pids().keeper
    assert keeper is not None
    kill(keeper)
    assert bulk.find(owner, planned.id).counts.done < LETTERS
    wait_until(lambda: bulk.find(owner, planned.id).state is BulkState.FINISHED, "another keeper has gone on")
    assert bulk.find(owner, planned.id).counts == BulkCounts(LETTERS, LETTERS, LETTERS)
    assert fleet.unfinished() == LETTERS
    assert fleet.app.store.measures().dead_kept == 0
