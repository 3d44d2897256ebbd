"""What operators do with an app's tasks: each change is done once, however often it is asked for, and written down."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streamtasks import StreamTasks
from streamtasks.exceptions import InvalidTask, TaskNotFound
from streamtasks.operations import audit, control, inspect
from streamtasks.operations.explain import explain_task
from streamtasks.operations.failures import recent_failures
from streamtasks.operations.filter_text import parse_filter
from streamtasks.operations.search import find_letters, find_tasks
from streamtasks.protocol.state import State
from streamtasks.stores.types import Revocation
from tests.support.manual_consumer import Consumer, outcome_of

BIG = 2**63 - 1


@pytest.fixture
def shop(server_url: str) -> StreamTasks:
    app = StreamTasks(server_url, timeout_s=60.0, enqueue_timeout_s=60.0)

    @app.task(name="shop.pack", queue="low")
    def pack(number: int) -> None: ...

    return app


def audited(app: StreamTasks) -> list[tuple[str, str, str, str]]:
    return [(one.operation, one.target, one.actor, one.reason) for one in app.store.audit_entries()]


def test_a_dead_letter_is_replayed_once(shop: StreamTasks) -> None:
    old = shop.tasks["shop.pack"].enqueue(BIG)
    with Consumer(shop.store) as child:
        child.settle(*(outcome_of(one, "DEAD", b"{}")._replace(note="crashed") for one in child.claim()))
    letter = inspect.dead_letter(shop.store, old.id)
    assert letter is not None
    assert inspect.dead_letter(shop.store, letter.cursor) == letter
    new_id = control.replay(shop.owner, letter, actor="ann", reason="fixed", queue="high")
    assert control.replay(shop.owner, letter, actor="ann", reason="fixed", queue="high") == new_id
    assert inspect.dead_letter(shop.store, old.id) is None
    found = inspect.task(shop.store, shop.settings.wire, new_id)
    assert found is not None
    assert found.message is not None
    assert (found.state, found.message.args, found.message.queue) == ("QUEUED", [BIG], "high")
    assert found.message.headers[control.REPLAY_OF] == old.id
    assert shop.store.measures().unfinished == 1
    assert audited(shop) == [("replay", old.id, "ann", "fixed")] * 2


def test_only_what_has_failed_is_retried(shop: StreamTasks) -> None:
    failed, succeeded, waiting = (shop.tasks["shop.pack"].enqueue(number).id for number in range(3))
    with Consumer(shop.store) as child:
        for state in ("FAILURE", "SUCCESS"):
            child.settle(*(outcome_of(one, state, b'{"r":1}') for one in child.claim(1)))
    again = control.retry(shop.owner, failed, actor="ann", reason="")
    assert control.retry(shop.owner, failed, actor="ann", reason="") == again
    for task_id, text in ((succeeded, "is SUCCESS"), (waiting, "only what has ended")):
        with pytest.raises(InvalidTask, match=text):
            control.retry(shop.owner, task_id, actor="ann", reason="")
    with pytest.raises(TaskNotFound, match="No task nothing is known"):
        control.retry(shop.owner, "nothing", actor="ann", reason="")
    assert shop.store.measures().unfinished == 2
    assert len(audited(shop)) == 2


def test_nothing_is_done_without_an_actor(shop: StreamTasks) -> None:
    task_id = shop.tasks["shop.pack"].enqueue(1).id
    with pytest.raises(InvalidTask, match="actor is ''"):
        control.revoke(shop.owner, [task_id], actor="", reason="")
    with pytest.raises(InvalidTask, match="reason is"):
        control.pause(shop.owner, "low", actor="ann", reason="x" * 1001)
    assert shop.store.pauses() == []
    assert control.revoke(shop.owner, [task_id], actor="ann", reason="") == [Revocation.GONE]


def test_a_purge_revokes_what_waits(shop: StreamTasks) -> None:
    """More than a page; what is held or delayed stays."""
    task = shop.tasks["shop.pack"]
    ids = [task.enqueue(number).id for number in range(130)]
    delayed = task.apply_async((1,), countdown=1000).id
    with Consumer(shop.store) as child:
        [held] = child.claim(1)
        assert control.purge(shop.owner, "low", actor="ann", reason="") == 129
        assert control.purge(shop.owner, "low", actor="ann", reason="") == 0
    states = {one.id: one.state for one in shop.store.read([*ids, delayed]) if one is not None}
    assert (states.pop(held.id), states.pop(delayed)) == (State.STARTED, State.DELAYED)
    assert set(states.values()) == {State.REVOKED}


def test_a_status(shop: StreamTasks) -> None:
    shop.tasks["shop.pack"].enqueue(1)
    control.pause(shop.owner, "idle", actor="ann", reason="why")
    found = inspect.status(shop.store)
    assert [(one.queue, one.ready, bool(one.paused)) for one in found.queues] == [("idle", 0, True), ("low", 1, False)]
    assert (found.unfinished, found.workers, found.pauses[0].actor) == (1, 0, "ann")
    page = inspect.tasks(shop.store, shop.settings.wire, "queued", queue="low")
    assert [one.message.args for one in page.tasks if one.message] == [[1]]
    with pytest.raises(InvalidTask, match="state is 'all'"):
        inspect.tasks(shop.store, shop.settings.wire, "all")


def test_what_only_looks_has_a_twin_for_event_loops(store_url: str) -> None:
    app = StreamTasks(store_url, timeout_s=60.0, enqueue_timeout_s=60.0)
    pack = app.task(name="shop.pack", queue="low")(lambda number: None)
    _, dead, waiting = (pack.enqueue(number).id for number in range(3))
    with Consumer(app.store) as child:
        for state in ("FAILURE", "DEAD"):
            child.settle(*(outcome_of(one, state, b"{}")._replace(note="crashed") for one in child.claim(1)))
    control.pause(app.owner, "idle", actor="ann", reason="why")
    wire = app.settings.wire
    looks: list[tuple[Any, Any]] = [
        (inspect.status, ()),
        (inspect.queues, ()),
        (inspect.pauses, ()),
        (inspect.workers, ()),
        *((inspect.tasks, (wire, state)) for state in inspect.STATES),
        (inspect.task, (wire, dead)),
        (inspect.dead_letter, (dead,)),
        (find_tasks, (wire, parse_filter("id:x"))),
        (find_letters, (wire, parse_filter("error:crashed", "dead"))),
        (recent_failures, (wire, 1)),
        (audit.entries, ()),
        (explain_task, (waiting,)),
    ]

    async def found() -> list[Any]:
        return [await look.awaiting(app.owner.async_store, *args) for look, args in looks]

    def without_time(value: Any) -> Any:
        return value._replace(now_ms=0, queues=[]) if isinstance(value, inspect.Status) else value

    answers = [look(app.store, *args) for look, args in looks]
    twins = asyncio.run(found())
    names = [look.__name__ for look, _ in looks]
    for name, one, other in zip(names, answers, twins, strict=True):
        if name not in ("queues", "explain_task"):  # they have ages in them
            assert without_time(one) == without_time(other), name
    assert [(one.queue, one.ready) for one in answers[1]] == [(one.queue, one.ready) for one in twins[1]]
    assert [one.code for one in answers[-1]] == [one.code for one in twins[-1]]
