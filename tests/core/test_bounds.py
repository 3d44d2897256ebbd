"""Nothing grows with the number of things that ever were: clean-ups and caps, in every store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from streamtasks import StoreSettings
from streamtasks.protocol.message import Message
from streamtasks.stores.factory import open_store, open_supervisor_store
from streamtasks.stores.types import NewMessage
from tests.core.conftest import AnyStore
from tests.support.manual_consumer import Consumer, outcome_of

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
    async with asyncio.timeout(60):
        assert [await anext(control) for _ in range(2)] == [("u0", "dead 1")] * 2
