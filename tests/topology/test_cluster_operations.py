"""Bulk operations, logs, stacks, events and the answers for autoscalers on a Cluster: each concerns all shards."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import State
from streamtasks.operations import bulk
from streamtasks.operations.events import EventWatch
from streamtasks.operations.filters import TaskFilter
from streamtasks.operations.stacks import StackAnswer, stacks
from streamtasks.protocol.shards import ALL_TAGS, new_id
from streamtasks.stores.bulk_types import BulkCounts, BulkState
from tests.process.tasks import log_app
from tests.process.test_monitor import get
from tests.support.fleet import Fleet
from tests.support.manual_consumer import Consumer, outcome_of
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streamtasks.results import Result

pytestmark = [pytest.mark.topology, pytest.mark.slow]

BY: dict[str, Any] = {"actor": "ann", "reason": "test"}
SOME_TAGS = ALL_TAGS[::16]
"""On all three masters."""


@pytest.fixture
def fleet(cluster_url: str, tmp_path: Path) -> Iterator[Fleet]:
    url = cluster_url.replace("redis://", "redis+cluster://").removesuffix("/0")
    made = Fleet(url, tmp_path, {"timeout_s": DEADLINE_S, "enqueue_timeout_s": DEADLINE_S})
    yield made
    made.close()


def on_each(tasks: Any, name: str, *args: Any, tags: tuple[str, ...] = ALL_TAGS) -> list[Result[Any]]:
    """Enqueue one call on each shard."""
    return [tasks[name].apply_async(args, task_id=new_id((tag,))) for tag in tags]


def test_a_bulk_operation_has_members_on_all_shards(fleet: Fleet) -> None:
    store, owner = fleet.app.store, fleet.app.owner
    on_each(fleet.app.tasks, "add", 1, 1)
    for number, tag in enumerate(ALL_TAGS):
        with Consumer(store, f"w-{number}", tag) as child:
            child.settle(*(outcome_of(one, "DEAD", b"{}")._replace(note="crashed") for one in child.claim()))
    store.pause("default", **BY)  # what is replayed stays, so that it can be revoked
    fleet.start("--concurrency", "1")
    count = len(ALL_TAGS)
    for operation, where in (("replay", TaskFilter()), ("revoke", TaskFilter("queued"))):
        planned = bulk.plan(owner, operation, where, **BY)
        assert planned.counts == BulkCounts(count, 0, 0)
        bulk.apply(owner, planned.id, **BY)
        wait_until(lambda it=planned.id: bulk.find(owner, it).state is BulkState.FINISHED, "it is done")  # type: ignore[misc]
        assert bulk.find(owner, planned.id).counts == BulkCounts(count, count, count)
        assert store.measures().dead_kept == 0
    assert store.statistics().outcomes == {"DEAD": count, "REVOKED": count}


def test_lines_are_kept_where_their_tasks_are(fleet: Fleet) -> None:
    fleet.start("--concurrency", "2", app="log_app:app")
    said = on_each(log_app.make(fleet.url).tasks, "say", "hello", tags=SOME_TAGS)
    for result in said:
        lines = wait_until(lambda result=result: result.logs().lines, "its line is kept")  # type: ignore[misc]
        assert [(line.attempt, line.level, line.text) for line in lines] == [(1, "INFO", "said hello")]
        result.get(DEADLINE_S)
        assert result.forget()
        assert result.logs().total == 0


def test_a_worker_is_asked_for_stacks_on_any_shard(fleet: Fleet) -> None:
    fleet.start("--concurrency", str(len(SOME_TAGS)), app="log_app:app")
    gate = fleet.directory / "open"
    resting = on_each(log_app.make(fleet.url).tasks, "rest", str(gate), tags=SOME_TAGS)

    def rests(result: Result[Any]) -> bool:
        answer: StackAnswer | None = stacks(result.store, result.id, DEADLINE_S)
        return answer is not None and any(frame.function == "rest" for one in answer.stacks for frame in one.frames)

    for result in resting:
        wait_until(lambda result=result: rests(result), "it is seen where it rests")  # type: ignore[misc]
    gate.touch()
    for result in resting:
        result.get(DEADLINE_S)
        assert stacks(result.store, result.id) is None, "it does not run any more"


def test_one_cursor_goes_through_the_events_of_all_shards(fleet: Fleet) -> None:
    fleet.start("--concurrency", "2")
    watch = EventWatch(fleet.app.store)
    assert watch.look().events == []
    results = on_each(fleet.app.tasks, "add", 1, 1)
    seen: list[tuple[str, str]] = []

    def settled() -> bool:
        nonlocal watch
        watch = EventWatch(fleet.app.store, watch.cursor)  # each look is that of another process, with the cursor alone
        seen.extend((one.kind, one.id) for one in watch.look().events)
        return sum(kind == "settled" for kind, _ in seen) >= len(results)

    wait_until(settled, lambda: f"all are settled: {Counter(kind for kind, _ in seen)}")
    ids = sorted(result.id for result in results)
    for kind in ("accepted", "settled"):
        assert sorted(task_id for one, task_id in seen if one == kind) == ids, "nothing twice, nothing left out"


def test_an_autoscaler_is_told_of_all_shards(fleet: Fleet) -> None:
    port = free_port()
    fleet.start("--concurrency", "2", "--queues", "other", "--metrics-port", str(port))
    results = on_each(fleet.app.tasks, "add", 1, 1)

    def told(queue: str) -> dict[str, Any]:
        status, text = get(port, f"/scale?queue={queue}")
        assert status == 200, text
        return dict(json.loads(text))

    waiting = told("default")
    assert (waiting["ready"], waiting["active"], waiting["workers"]) == (len(results), True, 0)
    assert waiting["desired"] >= 1
    assert (told("other")["ready"], told("other")["workers"]) == (0, 1)
    fleet.start("--concurrency", "2")
    wait_until(lambda: all(result.state == State.SUCCESS for result in results), "all have run")
    assert (told("default")["ready"], told("default")["claimed"], told("default")["workers"]) == (0, 0, 1)
