"""Dead letters: what was given up on can be looked at, newest first, in pages."""

from __future__ import annotations

from typing import Any

import redis

from streamtasks import Message, StoreSettings, StreamTasks
from streamtasks.stores.redis import RedisStore
from streamtasks.stores.redis.operations.inspection import dead_letters_call
from streamtasks.stores.redis.shards import Operation
from streamtasks.stores.types import NewMessage
from tests.support.manual_consumer import Consumer, outcome_of


def new(task_id: str) -> NewMessage:
    return NewMessage(task_id, "default", 0, Message(id=task_id, task="t").encode(10_000))


async def test_an_app_lists_them_from_an_event_loop(store_url: str) -> None:
    app = StreamTasks(store_url)
    app.store.enqueue([new("m0")])
    with Consumer(app.store) as child:
        child.settle(*(outcome_of(c, "DEAD", b"{}")._replace(note="crashed") for c in child.claim()))
    [letter] = await app.adead_letters()
    assert letter == app.dead_letters()[0]
    assert (letter.id, letter.reason) == ("m0", "crashed")
    assert await app.adead_letters(before=letter.cursor) == []


def test_given_up_messages_and_garbage_are_listed_in_pages(server_url: str) -> None:
    store = RedisStore(StoreSettings(url=server_url, key_prefix="t:"))
    with Consumer(store) as child:
        store.enqueue([new(f"m{n}") for n in range(3)])
        child.settle(*(outcome_of(c, "DEAD", b"{}")._replace(note="crashed") for c in child.claim()))
        client = redis.Redis.from_url(server_url)
        store.enqueue([new("m3")])
        client.xadd("t:{u0}:q:0:default", {b"\xff": b"\x00junk"})
        child.settle(*(outcome_of(c, "SUCCESS", b"{}") for c in child.claim()))
    newest, *rest = store.dead_letters(limit=2)
    assert (newest.reason, newest.id, newest.stream) == ("undecodable", "", "0:default")
    assert b"junk" in newest.envelope
    rest += store.dead_letters(before=rest[-1].cursor)
    assert [letter.id for letter in rest] == ["m2", "m1", "m0"]
    assert {letter.reason for letter in rest} == {"crashed"}
    assert [letter.message().id for letter in rest] == ["m2", "m1", "m0"]
    assert all(letter.died_ms > 1_700_000_000_000 for letter in rest)


def test_large_ones_are_read_in_several_calls(server_url: str) -> None:
    settings = StoreSettings(url=server_url, key_prefix="t:")
    store = RedisStore(settings)
    client = redis.Redis.from_url(server_url)
    body = b"1 " + b"x" * 300_000
    for n in range(5):
        client.xadd("t:{u0}:dead", {"reason": "crashed", "id": f"m{n}", "stream": "0:default", "message": body})
    [first] = store.run(_page(store))
    assert (first[0], len(first)) == (1, 3)
    assert [letter.id for letter in store.dead_letters()] == ["m4", "m3", "m2", "m1", "m0"]
    assert [letter.id for letter in store.dead_letters(limit=3)] == ["m4", "m3", "m2"]


def _page(store: RedisStore) -> Operation[list[Any]]:
    replies: list[Any] = yield [dead_letters_call(store.shards.by_tag["u0"].keys, "+", 100)]
    return replies
