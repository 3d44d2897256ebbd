"""Nothing grows with the number of things that ever were: clean-ups, caps and queues, in every store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
import redis

from streamtasks import StoreSettings, StreamTasks
from streamtasks.exceptions import QueueNotEmpty, UnknownQueue
from streamtasks.protocol.keys import Keys
from streamtasks.protocol.message import Message
from streamtasks.protocol.shards import ALL_TAGS, new_id
from streamtasks.stores.factory import open_store, open_supervisor_store
from streamtasks.stores.memory import MemoryServer
from streamtasks.stores.types import NewMessage
from tests.core.conftest import AnyStore
from tests.support.manual_consumer import Consumer, outcome_of
from tests.support.sql_stores import notifies
from tests.support.waiting import wait_until

DAY_MS = 86_400_000


def new(task_id: str, queue: str = "default", priority: int = 0, args: str = "", **options: Any) -> NewMessage:
    message = Message(id=task_id, task="t", args=[args], queue=queue, priority=priority)
    return NewMessage(task_id, queue, priority, message.encode(1 << 20), **options)


def test_a_clean_up_deletes_records_of_every_retention(store_url: str, any_store: Callable[..., AnyStore]) -> None:
    store = any_store(store_url, failure_expires_s=400 * 86_400.0)
    kept_ms = [900_000, DAY_MS, DAY_MS + 1, 7 * DAY_MS, 30 * DAY_MS, 399 * DAY_MS]
    ids = [f"{number:03}" for number in range(5 * len(kept_ms))]
    store.enqueue([new(task_id) for task_id in ids])
    with Consumer(open_store(store.settings)) as hand:
        while claimed := hand.claim(7):
            hand.settle(*(outcome_of(c, "SUCCESS", keep_ms=kept_ms[int(c.id) % len(kept_ms)]) for c in claimed))
    finished_ms = max(snapshot.finished_ms for snapshot in store.read(ids) if snapshot)
    assert store.delete_finished(finished_ms + 1) == len(ids)
    assert store.read(ids) == [None] * len(ids)
    assert store.delete_finished(finished_ms + 1) == 0


async def test_dead_letters_are_capped_by_bytes(store_url: str) -> None:
    settings = StoreSettings(url=store_url, max_dead_letter_bytes=4000)
    store, keeper = open_store(settings), open_supervisor_store(settings)
    control = keeper.listen()
    assert await anext(control) == ("", "subscribed")
    with Consumer(store) as hand:
        for number in range(5):
            store.enqueue([new(f"{number}", args="x" * 1000)])
            hand.settle(*(outcome_of(c, "DEAD", note="given up") for c in hand.claim()))
    assert [letter.id for letter in store.dead_letters()] == ["4", "3", "2"]
    if notifies(store_url):
        async with asyncio.timeout(60):
            assert [await anext(control) for _ in range(2)] == [("u0", "dead 1")] * 2


def streams_of(settings: StoreSettings) -> int:
    """How many streams the first shard knows."""
    if settings.is_memory:
        return len(MemoryServer.at(settings.url).shard(settings, settings.tags[0]).streams)
    with redis.Redis.from_url(settings.url) as client:
        return int(cast("Any", client.zcard(Keys(settings.key_prefix, settings.tags[0]).streams)))


async def test_empty_queues_go_by_themselves_and_come_back(store_url: str) -> None:
    settings = StoreSettings(url=store_url, queue_expires_s=0.001)
    store, keeper = open_store(settings), open_supervisor_store(settings)
    with Consumer(store) as hand:
        store.enqueue([new(f"{number:02}", f"tenant-{number}", number % 3) for number in range(40)])
        while hand.succeed(most=7):
            pass
        store.enqueue([new("stays", "tenant-1", 1)])
        retired = 0
        async with asyncio.timeout(60):
            while retired < 39:
                await asyncio.sleep(0.01)
                retired += (await keeper.sweep("u0", 3_600_000)).streams
        assert streams_of(settings) == 1
        store.enqueue([new("again", "tenant-2")])
        assert sorted(hand.succeed()) == ["again", "stays"]
        assert streams_of(settings) == 2


class TestForgetQueue:
    def test_one_that_nothing_is_in_goes_from_every_shard(
        self, store_url: str, any_store: Callable[..., AnyStore]
    ) -> None:
        store = any_store(store_url, tags=ALL_TAGS[:3])
        ids = [new_id((tag,)) for tag in ALL_TAGS[:3]]
        store.enqueue([new(task_id, "once", priority) for priority, task_id in enumerate(ids)])
        plain = open_store(store.settings)
        with Consumer(plain, tag=ALL_TAGS[0]) as hand:
            hand.succeed()
        with pytest.raises(QueueNotEmpty, match="2 messages are in queue 'once', 0 of them held by workers") as raised:
            store.forget_queue("once")
        assert raised.value.messages == 2
        for tag in ALL_TAGS[1:3]:
            with Consumer(plain, tag=tag) as hand:
                hand.succeed()
        assert store.forget_queue("once")
        assert not store.forget_queue("once")
        assert streams_of(store.settings) == 0

    def test_the_error_says_what_to_do(self, store: AnyStore) -> None:
        store.enqueue([new("a", "once"), new("b", "once")])
        with Consumer(open_store(store.settings)) as hand:
            [held] = hand.claim(1)
            store.revoke("b")
            with pytest.raises(QueueNotEmpty) as raised:
                store.forget_queue("once")
            left = 2  # the revoked one leaves a message for its hooks
            assert str(raised.value) == (
                f"{left} messages are in queue 'once', 1 of them held by workers. Let a worker finish them "
                "(streamtasks-worker --queues once) or revoke them, and call forget_queue('once') again."
            )
            hand.settle(outcome_of(held, "SUCCESS"))
            hand.settle(*(outcome_of(c, "CALLED") for c in hand.claim()))
        assert store.forget_queue("once") is not store.settings.is_sql  # SQL keeps nothing of an empty queue

    def test_what_is_delayed_brings_it_back(self, store: AnyStore) -> None:
        store.enqueue([new("a", "once"), new("b", "once", delay_ms=1)])
        with Consumer(open_store(store.settings)) as hand:
            assert hand.succeed() == ["a"]
            assert store.forget_queue("once") is not store.settings.is_sql
            keeper = open_supervisor_store(store.settings)
            wait_until(lambda: asyncio.run(keeper.promote("u0")).promoted, "it is due")
            assert hand.succeed() == ["b"]

    @pytest.mark.parametrize("queue", ["", "a b", None])
    def test_what_cannot_be_a_queue(self, store: AnyStore, queue: Any) -> None:
        with pytest.raises(UnknownQueue, match="cannot be a queue's name"):
            store.forget_queue(queue)

    async def test_an_app_forgets_one(self, store_url: str) -> None:
        app = StreamTasks(store_url)
        app.store.enqueue([new("a", "once")])
        with pytest.raises(QueueNotEmpty, match="1 message is in queue 'once'"):
            await app.aforget_queue("once")
        with Consumer(app.store) as hand:
            hand.succeed()
        assert await app.aforget_queue("once") is not app.settings.is_sql
        assert not app.forget_queue("once")
