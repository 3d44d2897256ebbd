"""What only SQL stores do: rows that have expired are deleted however many they are, and ids that are young are new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import Message, StoreSettings
from streamtasks.protocol.shards import new_id
from streamtasks.stores.factory import open_store, open_supervisor_store
from streamtasks.stores.types import NewMessage
from tests.support.manual_consumer import Consumer
from tests.support.sql_stores import sql_kinds

if TYPE_CHECKING:
    from tests.support.sql_stores import SqlStores

MANY = 450


@pytest.fixture(params=sql_kinds())
def settings(request: pytest.FixtureRequest, sql_stores: SqlStores) -> StoreSettings:
    return StoreSettings(url=sql_stores.url(request.param), timeout_s=60.0, enqueue_timeout_s=60.0)


def new(task_id: str) -> NewMessage:
    message = Message(id=task_id, task="shop.add")
    return NewMessage(task_id, "default", 0, message.encode(1 << 20))


def rows(settings: StoreSettings, name: str) -> Any:
    from streamtasks_django.backends.database.engine.steps import Steps

    session = Steps(settings).own
    return getattr(session.tables, name).objects.using(session.using)


async def test_one_sweep_deletes_all_that_has_expired(settings: StoreSettings) -> None:
    store = open_store(settings)
    keeper: Any = open_supervisor_store(settings)
    store.enqueue([new("kept")])
    with Consumer(store) as hand:
        hand.succeed()
    await keeper.call(make_old, settings)
    await keeper.sweep("u0", 0)
    kept = await keeper.call(lambda: list(rows(settings, "record").values_list("id", flat=True)))
    workflows = await keeper.call(rows(settings, "state").filter(kind="workflow").count)
    assert (kept, workflows) == (["kept"], 0)


def make_old(settings: StoreSettings) -> None:
    records, states = rows(settings, "record"), rows(settings, "state")
    records.bulk_create([records.model(id=f"{n}", state="SUCCESS", expires_ms=1) for n in range(MANY)])
    states.bulk_create(
        [states.model(name=f"workflow:{n}", kind="workflow", expires_ms=1, data=b"1") for n in range(50)]
    )


def test_a_young_id_is_enqueued_once(settings: StoreSettings) -> None:
    store = open_store(settings)
    task_id = new_id(settings.tags)
    assert store.enqueue([new(task_id)]) == [True]
    assert store.enqueue([new(task_id), new(new_id(settings.tags))]) == [False, True]
    with Consumer(store) as hand:
        assert task_id in hand.succeed()
    assert store.enqueue([new(task_id)]) == [False]
