"""Pages of what finished: all of it once, and a look at all indexes goes on where its last page ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis

from streamtasks import Message, StoreSettings
from streamtasks.stores.redis import RedisStore
from streamtasks.stores.types import FinishedPage, NewMessage
from tests.support.manual_consumer import Consumer

if TYPE_CHECKING:
    from typing import Any

MANY = 300


def test_pages_go_on_where_the_last_one_ended(server_url: str) -> None:
    store = RedisStore(StoreSettings(url=server_url, timeout_s=60.0, enqueue_timeout_s=60.0))
    messages = [Message(id=f"{number}", task="shop.add") for number in range(MANY)]
    store.enqueue([NewMessage(one.id, "default", 0, one.encode(1 << 20)) for one in messages])
    with Consumer(store) as hand:
        while hand.succeed(most=20):
            pass
    with redis.Redis.from_url(server_url) as client:

        def ask(position: dict[str, Any] | None, *, goes_on: bool) -> tuple[FinishedPage, int]:
            client.config_resetstat()
            page = store.finished_since(store.tags[0], position, 100, goes_on=goes_on)
            counts: Any = client.info("commandstats")
            return page, counts["cmdstat_evalsha"]["calls"]

        page, _ = ask(None, goes_on=False)
        found = page.ids
        while not page.is_last:
            _, from_start = ask(page.position, goes_on=False)
            page, going_on = ask(page.position, goes_on=True)
            found += page.ids
            assert going_on < from_start / 2  # a day of indexes, or only the last hours
    assert sorted(found) == sorted(one.id for one in messages)
