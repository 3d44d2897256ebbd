"""Watch what happens to tasks, workers and queues, from a cursor on; one watch serves any number of viewers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

from ..exceptions import AccessDenied
from ..stores.base import Store
from ..stores.inspection_types import LATEST, Event, Events

__all__ = ["EventWatch", "awatch_events", "watch_events"]

LOOK_S: Final = 0.25
"""A shard is looked at so often, seconds; many shards less often."""

SHARDS_A_SECOND: Final = 64

RENEW_S: Final = 5.0
"""How often it is noted that somebody watches, seconds."""

STEER_S: Final = 2.0
"""How often workers and pauses are compared with the last look, seconds."""


class EventWatch:
    """A watch, look by look.

    While it goes on, events of tasks are written whatever the settings say, unless its user may only read. It adds what
    changes of workers (``joined``, ``left``) and of pauses (``paused``, ``resumed``), which it sees itself: that has no
    place in the stream, and does not come again from a cursor.

    Args:
        store: where events are.
        cursor: of the last page that was seen; empty: from the oldest event that is kept; None: from now on.

    Attributes:
        cursor: behind what was returned last.
        steer_at: when workers and pauses are looked at next, monotonic seconds.
    """

    def __init__(self, store: Store, cursor: str | None = None) -> None:
        self._store = store
        self._renew_at = self.steer_at = 0.0
        self._may_ask = True
        self._workers: set[str] | None = None
        self._pauses: dict[str, str] = {}
        self.cursor = LATEST if cursor is None else cursor
        self.pause_s: float = max(LOOK_S, len(store.tags) / SHARDS_A_SECOND)

    def look(self) -> Events:
        """Return what has happened since the last look; sleep `pause_s` before the next."""
        now = time.monotonic()
        if self.cursor == LATEST:
            self.cursor = self._store.events(LATEST).cursor
        if self._may_ask and now >= self._renew_at:
            self._renew_at = now + RENEW_S
            try:
                self._store.watch_events()
            except AccessDenied:
                self._may_ask = False
        found = self._store.events(self.cursor)
        self.cursor = found.cursor
        events = found.events
        if now >= self.steer_at:
            self.steer_at = now + STEER_S
            events = events + self._changes()
        return Events(events, self.cursor)

    def _changes(self) -> list[Event]:
        at_ms = time.time_ns() // 1_000_000
        workers = {one.name for one in self._store.workers() if one.is_live}
        pauses = {one.queue or one.task: one.actor for one in self._store.pauses()}
        known, paused = self._workers, self._pauses
        self._workers, self._pauses = workers, pauses
        if known is None:
            return []
        return [
            *(Event(at_ms, "joined", name, "") for name in sorted(workers - known)),
            *(Event(at_ms, "left", name, "") for name in sorted(known - workers)),
            *(Event(at_ms, "paused", queue, pauses[queue]) for queue in sorted(pauses.keys() - paused.keys())),
            *(Event(at_ms, "resumed", queue, "") for queue in sorted(paused.keys() - pauses.keys())),
        ]


def watch_events(store: Store, cursor: str | None = None) -> Iterator[Events]:
    """Yield pages of events, each with the cursor behind it, for as long as somebody asks; see `EventWatch`.

    Raises:
        StoreError: the store could not be reached; begin again with the last cursor.
    """
    watch = EventWatch(store, cursor)
    while True:
        if (page := watch.look()).events:
            yield page
        else:
            time.sleep(watch.pause_s)


async def awatch_events(
    store: Store,
    cursor: str | None = None,
    call: Callable[[Callable[[], Events]], Awaitable[Events]] = asyncio.to_thread,
) -> AsyncIterator[Events]:
    """Yield pages of events on an event loop; see `watch_events`. ``call``: runs a look on a thread."""
    watch = EventWatch(store, cursor)
    while True:
        if (page := await call(watch.look)).events:
            yield page
        else:
            await asyncio.sleep(watch.pause_s)
