"""What keepers hear of SQL stores, and what operators are refused there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import StoreSettings
from streamtasks.exceptions import ServerNotSupported
from streamtasks.stores.bulk_types import BulkState
from streamtasks.stores.factory import open_store, open_supervisor_store
from streamtasks.stores.types import SUBSCRIBED
from tests.support.sql_stores import sql_kinds

if TYPE_CHECKING:
    from tests.support.sql_stores import SqlStores


@pytest.fixture(params=sql_kinds())
def settings(request: pytest.FixtureRequest, sql_stores: SqlStores) -> StoreSettings:
    return StoreSettings(url=sql_stores.url(request.param), timeout_s=60.0, enqueue_timeout_s=60.0)


async def test_keepers_look_where_a_database_cannot_notify(settings: StoreSettings) -> None:
    """What other processes have for them, they know soon all the same; nothing makes them look in vain."""
    keeper, store = open_supervisor_store(settings), open_store(settings)
    store.put_bulk("first", BulkState.REQUESTED)
    heard: Any = keeper.listen()
    assert await anext(heard) == ("", SUBSCRIBED)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await anext(heard)
    await heard.aclose()
    heard = keeper.listen()
    assert await anext(heard) == ("", SUBSCRIBED)
    store.put_bulk("second", BulkState.REQUESTED)
    async with asyncio.timeout(60):
        while (await anext(heard))[1] != "bulk":
            continue
    await heard.aclose()


async def test_a_worker_hears_what_is_asked_of_it_with_its_next_beat(settings: StoreSettings) -> None:
    store: Any = open_store(settings)
    keeper: Any = open_supervisor_store(settings)
    assert store.request_worker("w-1", "drain") is False
    await keeper.beat("u0", "w-1", {"slots": 1})
    assert store.request_worker("w-1", "drain")
    assert store.request_worker("w-1", "stop"), "the later one counts"
    assert (await keeper.beat("u0", "w-1", {"slots": 1})).request == "stop"
    assert (await keeper.beat("u0", "w-1", {"slots": 1})).request == ""


@pytest.mark.parametrize(
    ("call", "remedy"),
    [
        (lambda store: store.logs("a"), "look into the logs of its worker"),
        (lambda store: store.stack("a", "n", ask=True), "use py-spy on the machine of its worker"),
    ],
    ids=["logs", "stack"],
)
def test_what_is_refused_says_what_to_do_instead(settings: StoreSettings, call: Any, remedy: str) -> None:
    with pytest.raises(ServerNotSupported, match=remedy):
        call(open_store(settings))
