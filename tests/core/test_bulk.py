"""Bulk operations: planned, applied once for each member, aborted, interrupted, undone; on each kind of store."""

from __future__ import annotations

from typing import Any

import pytest

from streamtasks import StreamTasks, group
from streamtasks.exceptions import InvalidTask, TaskNotFound
from streamtasks.operations import bulk, control, inspect
from streamtasks.operations.bulk_members import SAMPLE
from streamtasks.operations.bulk_steps import BulkRunner, run
from streamtasks.operations.filters import TaskFilter
from streamtasks.protocol.shards import new_id
from streamtasks.stores.bulk_types import BulkCounts, BulkState, StoredBulk
from tests.support.manual_consumer import Consumer, outcome_of

BY: dict[str, Any] = {"actor": "ann", "reason": "fixed"}
TAGS = ("u0", "dj", "ha")


def app_of(url: str, **settings: Any) -> StreamTasks:
    app = StreamTasks(url, timeout_s=60.0, enqueue_timeout_s=60.0, **settings)

    @app.task(name="shop.pack")
    def pack(number: int, gift: bool = False) -> None: ...

    @app.task(name="shop.mail", queue="mails")
    def mail(to: str) -> None: ...

    return app


@pytest.fixture
def shop(store_url: str) -> StreamTasks:
    return app_of(store_url)


@pytest.fixture
def spread(store_url: str) -> StreamTasks:
    """Three shards."""
    return app_of(store_url, tags=TAGS)


def give_up(app: StreamTasks, *ids: str, reason: str = "crashed") -> None:
    """Claim all that waits; these become dead letters, the others succeed; none are named: all of them."""
    for tag in app.settings.tags:
        with Consumer(app.store, f"w-{new_id(('u0',))}", tag) as child:
            while held := child.claim():
                child.settle(
                    *(
                        outcome_of(one, "DEAD", b"{}")._replace(note=reason)
                        if one.id in ids or not ids
                        else outcome_of(one, "SUCCESS", b'{"r":1}')
                        for one in held
                    )
                )


def queued(app: StreamTasks) -> list[Any]:
    page = inspect.tasks(app.store, app.settings.wire, "queued")
    return sorted(one.message.args for one in page.tasks if one.message is not None)


def letters_of(app: StreamTasks) -> set[tuple[str, int, bytes]]:
    found, before = set(), ""
    for tag in app.settings.tags:
        while some := app.store.shard_dead_letters(tag, before):
            found |= {(one.id, one.died_ms, one.envelope) for one in some}
            before = some[-1].cursor
        before = ""
    return found


def test_letters_of_a_filter_are_replayed_once_and_others_stay(spread: StreamTasks) -> None:
    pack, mail = spread.tasks["shop.pack"], spread.tasks["shop.mail"]
    for number in range(250):
        pack.enqueue(number, gift=number % 2 == 0)
    mail.enqueue("ann")
    give_up(spread)
    where = TaskFilter(task="shop.pack", args={"gift": True})
    planned = bulk.plan(spread.owner, "replay", where, **BY)
    assert (planned.state, planned.counts) == (BulkState.PLANNED, BulkCounts(total=125))
    assert planned.filter == "state:dead task:shop.pack arg.gift=true"
    assert len(planned.sample) == SAMPLE
    assert all(call.startswith("shop.pack(") and "gift=True" in call for _, call in planned.sample)
    assert len(spread.store.dead_letters()) == 100
    assert queued(spread) == []
    pack.enqueue(1000, gift=True)
    give_up(spread)  # it is no member: they are fixed
    bulk.apply(spread.owner, planned.id, **BY)
    finished = run(spread.owner, planned.id)
    assert (finished.state, finished.counts) == (BulkState.FINISHED, BulkCounts(125, 125, 125))
    assert spread.store.measures().unfinished == 125
    assert spread.store.measures().dead_kept == 127
    audited = [(one.operation, one.target, one.actor, one.reason) for one in spread.store.audit_entries()]
    assert audited == [
        ("replay finished", f"bulk {planned.id}: applied 125, skipped 0, refused 0", "ann", "fixed"),
        ("replay", f"bulk {planned.id}: 125 with {planned.filter}", "ann", "fixed"),
    ]


def test_what_somebody_else_has_replayed_is_skipped(shop: StreamTasks) -> None:
    for number in range(5):
        shop.tasks["shop.pack"].enqueue(number)
    give_up(shop)
    planned = bulk.plan(shop.owner, "replay", TaskFilter(), **BY)
    letters = shop.store.dead_letters()
    control.replay(shop.owner, letters[0], **BY)
    control.discard(shop.owner, letters[1:2], **BY)
    bulk.apply(shop.owner, planned.id, **BY)
    assert run(shop.owner, planned.id).counts == BulkCounts(5, 5, 3, 2)
    assert shop.store.measures().unfinished == 4
    with pytest.raises(TaskNotFound, match="somebody has replayed or discarded it"):
        control.replay(shop.owner, letters[1], **BY)


def test_what_was_interrupted_goes_on_and_counts_once(shop: StreamTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends behind the replay and before it has noted that; another one goes on when its lease is over."""
    for number in range(150):
        shop.tasks["shop.pack"].enqueue(number)
    give_up(shop)
    planned = bulk.plan(shop.owner, "replay", TaskFilter(), **BY)
    bulk.apply(shop.owner, planned.id, **BY)
    with monkeypatch.context() as killed:
        killed.setattr(shop.store, "advance_bulk", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception, match="killed"):
            BulkRunner(shop.owner).run_once()
    waiting = BulkRunner(shop.owner).run_once()
    assert waiting is not None
    assert 0 < waiting <= 3
    monkeypatch.setattr("streamtasks.operations.bulk_steps.LEASE_MS", 1)  # whoever had it is gone
    assert run(shop.owner, planned.id).counts == BulkCounts(150, 150, 150)
    assert len({tuple(args) for args in queued(shop)}) == 100
    assert shop.store.measures().unfinished == 150


def test_other_arguments_and_another_queue(shop: StreamTasks) -> None:
    shop.tasks["shop.pack"].enqueue(1)
    give_up(shop)
    changes = {"args": [2], "queue": "high"}
    planned = bulk.plan(shop.owner, "replay", TaskFilter(args={"0": 1}), changes=changes, **BY)
    bulk.apply(shop.owner, planned.id, **BY)
    run(shop.owner, planned.id)
    [one] = inspect.tasks(shop.store, shop.settings.wire, "queued").tasks
    assert one.message is not None
    assert (one.message.args, one.message.queue) == ([2], "high")


def test_a_part_of_a_workflow_is_refused_and_says_why(shop: StreamTasks) -> None:
    pack = shop.tasks["shop.pack"]
    pack.enqueue(1)
    group(pack.s(2), pack.s(3)).apply_async()
    give_up(shop)
    planned = bulk.plan(shop.owner, "replay", TaskFilter(), **BY)
    bulk.apply(shop.owner, planned.id, **BY)
    done = run(shop.owner, planned.id)
    assert done.counts == BulkCounts(3, 3, 1, 0, 2)
    assert all("is a part of a workflow" in one for one in done.problems)
    assert shop.store.measures().dead_kept == 2


def test_an_aborted_one_stops_and_goes_on(shop: StreamTasks) -> None:
    for number in range(120):
        shop.tasks["shop.pack"].enqueue(number)
    give_up(shop)
    planned = bulk.plan(shop.owner, "replay", TaskFilter(), **BY)
    bulk.apply(shop.owner, planned.id, rate=100, **BY)
    runner = BulkRunner(shop.owner)
    runner.run_once()
    stopped = bulk.abort(shop.owner, planned.id, **BY)
    assert stopped.state is BulkState.ABORTED
    assert 0 < stopped.counts.done < 120
    assert runner.run_once() == 0.0
    assert runner.run_once() is None
    assert bulk.find(shop.owner, planned.id).counts == stopped.counts
    bulk.apply(shop.owner, planned.id, **BY)
    assert run(shop.owner, planned.id).counts == BulkCounts(120, 120, 120)
    with pytest.raises(InvalidTask, match="is FINISHED; it can become ABORTED"):
        bulk.abort(shop.owner, planned.id, **BY)


def test_discarded_letters_come_back(spread: StreamTasks) -> None:
    for number in range(230):
        spread.tasks["shop.pack"].enqueue(number)
    give_up(spread)
    before = letters_of(spread)
    assert len(before) == 230
    planned = bulk.plan(spread.owner, "discard", TaskFilter(error="crashed"), **BY)
    with pytest.raises(InvalidTask, match="PLANNED; it can become UNDOING"):
        bulk.undo(spread.owner, planned.id, **BY)
    bulk.apply(spread.owner, planned.id, **BY)
    assert run(spread.owner, planned.id).counts == BulkCounts(230, 230, 230)
    assert spread.store.dead_letters() == []
    bulk.undo(spread.owner, planned.id, **BY)
    undone = run(spread.owner, planned.id)
    assert (undone.state, undone.counts.restored) == (BulkState.UNDONE, 230)
    assert letters_of(spread) == before
    assert spread.store.measures().dead_kept == 230


def test_waiting_tasks_are_revoked_and_failed_ones_retried(spread: StreamTasks) -> None:
    for number in range(150):
        spread.tasks["shop.pack"].enqueue(number)
        spread.tasks["shop.mail"].enqueue(str(number))
    planned = bulk.plan(spread.owner, "revoke", TaskFilter("queued", queue="mails"), **BY)
    assert planned.counts.total == 150
    bulk.apply(spread.owner, planned.id, **BY)
    assert run(spread.owner, planned.id).counts == BulkCounts(150, 150, 150)
    give_up(spread)
    again = bulk.plan(spread.owner, "retry", TaskFilter("revoked", task="shop.mail"), **BY)
    assert again.counts.total == 150
    bulk.apply(spread.owner, again.id, **BY)
    assert run(spread.owner, again.id).counts == BulkCounts(150, 150, 150)
    again = bulk.plan(spread.owner, "retry", TaskFilter("revoked", task="shop.mail"), **BY)
    bulk.apply(spread.owner, again.id, **BY)
    assert run(spread.owner, again.id).counts == BulkCounts(150, 150, 0, 150), "it is done already"
    assert spread.store.measures().unfinished == 150


def test_a_worker_plans_what_is_requested(spread: StreamTasks) -> None:
    """Begun anew by another one after the first has died, it has each member once."""
    for number in range(250):
        spread.tasks["shop.pack"].enqueue(number)
    asked = bulk.request(spread.owner, "revoke", TaskFilter("queued", task="shop.pack"), **BY)
    assert (asked.state, asked.counts.total) == (BulkState.REQUESTED, 0)
    for tag in TAGS:  # of one that has died
        spread.store.put_bulk_members(asked.id, tag, 0, ["gone"] * 100)
    planned = run(spread.owner, asked.id)
    assert (planned.state, planned.counts.total, len(planned.sample)) == (BulkState.PLANNED, 250, SAMPLE)
    bulk.apply(spread.owner, asked.id, **BY)
    assert run(spread.owner, asked.id).counts == BulkCounts(250, 250, 250)
    stopped = bulk.request(spread.owner, "revoke", TaskFilter("queued"), **BY)
    assert bulk.abort(spread.owner, stopped.id, **BY).state is BulkState.ABORTED
    assert run(spread.owner, stopped.id).state is BulkState.ABORTED


def test_tasks_are_moved_to_another_queue_and_keep_their_ids(spread: StreamTasks) -> None:
    """On each shard, each once, behind what waits there; what is held or gone meanwhile is left alone."""
    pack, mail = spread.tasks["shop.pack"], spread.tasks["shop.mail"]
    ids = {pack.apply_async((number,), headers={"n": number}).id for number in range(30)}
    later = pack.apply_async((99,), countdown=3600).id
    other = mail.enqueue("a").id
    move = {"queue": "slow"}
    planned = bulk.plan(spread.owner, "move", TaskFilter("queued", queue="default"), changes=move, **BY)
    assert planned.counts.total == 30
    with Consumer(spread.store, "w-1", TAGS[0]) as child:
        [held] = child.claim(1)
        bulk.apply(spread.owner, planned.id, **BY)
        done = run(spread.owner, planned.id)
        child.settle(outcome_of(held, "SUCCESS", b'{"r":1}'))
    assert (done.counts.applied, done.counts.skipped, done.counts.refused) == (29, 1, 0)
    page = inspect.tasks(spread.store, spread.settings.wire, "queued", queue="slow")
    assert {one.id for one in page.tasks} == ids - {held.id}
    assert all(one.message and one.message.headers["n"] == one.message.args[0] for one in page.tasks)
    bulk.apply(spread.owner, (planned := bulk.plan(
        spread.owner, "move", TaskFilter("delayed"), changes=move, **BY)).id, **BY)  # fmt: skip
    assert run(spread.owner, planned.id).counts.applied == 1
    assert spread.store.read([later])[0].message().queue == "slow"  # type: ignore[union-attr]
    again = bulk.plan(spread.owner, "move", TaskFilter("queued"), changes={"queue": "mails"}, **BY)
    assert again.counts.total == 29, "what is there already is no member"
    measured = {one.queue: one.ready for one in spread.store.measures().queues if one.ready}
    assert measured == {"slow": 29, "mails": 1}
    ran = set[str]()
    for tag in TAGS:
        with Consumer(spread.store, f"w-{tag}", tag) as child:
            while some := child.claim():
                ran |= {one.id for one in some}
                child.settle(*(outcome_of(one, "SUCCESS", b'{"r":1}') for one in some))
    assert ran == (ids - {held.id}) | {other}


@pytest.mark.parametrize(
    ("operation", "where", "changes", "text"),
    [
        ("burn", TaskFilter(), {}, "one of replay, discard, revoke, retry, move"),
        ("replay", TaskFilter("queued"), {}, "replay is for tasks of state dead"),
        ("discard", TaskFilter(), {"queue": "a"}, "it takes none"),
        ("move", TaskFilter("queued"), {}, "must name the queue"),
        ("move", TaskFilter("failed"), {"queue": "a"}, "move is for tasks of state queued or delayed or limited"),
        ("replay", TaskFilter(since_ms=5, until_ms=5), {}, "no task is in between"),
    ],
)
def test_what_cannot_be_planned(shop: StreamTasks, operation: str, where: TaskFilter, changes: Any, text: str) -> None:
    with pytest.raises(InvalidTask, match=text):
        bulk.plan(shop.owner, operation, where, changes=changes, **BY)
    assert bulk.listed(shop.owner) == []


def test_old_ones_are_forgotten_but_not_those_at_work(shop: StreamTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = ["streamtasks.stores.redis.operations.bulk", "streamtasks.stores.memory.bulk"]
    if shop.settings.is_sql:
        modules = ["streamtasks_django.backends.database.engine.bulk"]
    for module in modules:
        monkeypatch.setattr(f"{module}.MOST_BULKS", 2)
    plans = [bulk.plan(shop.owner, "replay", TaskFilter(), **BY) for _ in range(2)]
    bulk.apply(shop.owner, plans[0].id, **BY)
    plans += [bulk.plan(shop.owner, "replay", TaskFilter(), **BY) for _ in range(2)]
    known: list[StoredBulk] = shop.store.bulks()
    assert plans[0].id in [one.id for one in known]
    assert len(known) <= 3
