"""Streams of pages that change: one thread of a process makes what is being looked at, for all viewers.

A further viewer costs no command, and without viewers there is no thread. It compares counts and pauses of the store.
It does not watch events: while somebody watches, workers write one for each task, which costs a drain some percent.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import connections
from django.http import StreamingHttpResponse

from streamtasks.exceptions import StreamTasksError
from streamtasks.protocol.json import dumps
from streamtasks.stores.base import Store

from .live import Key, Make, payload_of

__all__ = ["BEAT_S", "LOOK_S", "Hub", "Page", "Viewer", "hubs", "streamed"]

LOOK_S: Final = 0.25
"""A store is looked at so often, s; one of many shards less often."""

SHARDS_A_SECOND: Final = 64
TICK_S: Final = 1.0
"""What is looked at is made anew so often though no count has changed: ages and progress have, s."""

SHARE: Final = 20
"""On average making takes at most a twentieth of a processor: who changes all the time is looked at less often."""

BURST_S: Final = 0.5
"""What was not used of that is kept, up to so much time of a processor, s: single changes are shown at once."""

BEAT_S: Final = 5.0
"""A stream says so often that it lives, s."""

STREAM_S: Final = 300.0
"""A stream ends after so long: who comes again is asked for permissions again, s."""

_MOST_VIEWERS: Final = 1000

_log: Final = logging.getLogger("streamtasks.dashboard")


class Viewer:
    """One open stream: it is woken on its event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Wake it from another thread."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._changed.set)

    async def wait(self, timeout_s: float) -> None:
        """Wait until it is woken, or for so long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        self._changed.clear()


@dataclass(slots=True)
class Page:
    """What some viewers look at. ``is_still``: it has no live parts, so it is not made again."""

    make: Make
    viewers: set[Viewer] = field(default_factory=set)
    payload: bytes = b""
    made_at: float = float("-inf")
    is_still: bool = False


class Hub:
    """What somebody looks at in one store, and the thread that keeps it up to date while there is any.

    Attributes:
        store: that is looked at.
        pages: that have viewers.
        thread: while there are pages.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock = threading.Lock()
        self.pages: dict[Key, Page] = {}
        self.thread: threading.Thread | None = None
        self._joined = threading.Event()

    def join(self, key: Key, make: Make) -> tuple[Page, Viewer] | None:
        """Add a viewer of a page; None: there are too many."""
        with self._lock:
            if sum(len(page.viewers) for page in self.pages.values()) >= _MOST_VIEWERS:
                return None
            page = self.pages.get(key)
            if page is None:
                page = self.pages[key] = Page(make)
                self._joined.set()
            viewer = Viewer()
            page.viewers.add(viewer)
            if self.thread is None or not self.thread.is_alive():  # of before a fork, too
                self.thread = threading.Thread(target=self._run, name="streamtasks-dashboard", daemon=True)
                self.thread.start()
        return page, viewer

    def leave(self, key: Key, viewer: Viewer) -> None:
        """Take a viewer off."""
        with self._lock:
            page = self.pages.get(key)
            if page is not None:
                page.viewers.discard(viewer)
                if not page.viewers:
                    del self.pages[key]

    def _run(self) -> None:
        seen: Any = None
        made_at, left_s, looked_at = 0.0, BURST_S, time.monotonic()
        pause_s = max(LOOK_S, len(self.store.tags) / SHARDS_A_SECOND)
        try:
            while True:
                with self._lock:
                    if not self.pages:
                        self.thread = None
                        return
                    pages = list(self.pages.values())
                    self._joined.clear()
                now = time.monotonic()
                left_s = min(BURST_S, left_s + (now - looked_at) / SHARE)
                looked_at = now
                found = self._look()
                if found != seen or now - made_at >= TICK_S or not all(page.payload for page in pages):
                    seen, made_at, began_s = found, now, time.thread_time()
                    for page in pages:
                        self._renew(page)
                    left_s -= time.thread_time() - began_s
                self._joined.wait(max(pause_s, -SHARE * left_s))
        finally:
            connections.close_all()

    def _look(self) -> Any:
        try:
            return self.store.statistics(), self.store.pauses()
        except StreamTasksError as error:
            return str(error)  # the pages say it

    def _renew(self, page: Page) -> None:
        if page.is_still:
            return
        began = time.monotonic()
        try:
            page.payload = payload_of(page.make)
            page.is_still = page.payload.endswith(b'"parts":{}}')
        except Exception:  # noqa: BLE001 - a page that fails must not end the others
            _log.exception("A page of the dashboard could not be made anew")
            page.payload = dumps({"problem": "This page could not be made anew; the log of the site says why."})
        page.made_at = began
        for viewer in list(page.viewers):
            viewer.wake()


hubs: dict[str, Hub] = {}
"""By alias."""

_hubs_lock = threading.Lock()


def streamed(key: Key, store: Store, make: Make) -> StreamingHttpResponse:
    """Answer with a stream of server-sent events: the live parts of a page, whenever they change."""
    response = StreamingHttpResponse(_events(key, store, make), content_type="text/event-stream")
    response["X-Accel-Buffering"] = "no"  # nginx would collect them
    return response


async def _events(key: Key, store: Store, make: Make) -> AsyncIterator[bytes]:
    with _hubs_lock:
        hub = hubs.get(key[0])
        if hub is None or hub.store is not store:  # settings have changed
            hub = hubs[key[0]] = Hub(store)
    joined = hub.join(key, make)
    if joined is None:
        yield b"event: full\ndata: \n\n"
        return
    page, viewer = joined
    began = said_at = time.monotonic()
    sent = b""
    try:
        yield b"retry: 1000\n\nevent: beat\ndata: \n\n"
        while (now := time.monotonic()) < began + STREAM_S:
            payload = page.payload
            # What was made before it came may be older than the page that it has.
            if page.made_at >= began and payload != sent:
                sent, said_at = payload, now
                yield b"data: " + payload + b"\n\n"
            elif now - said_at >= BEAT_S:
                said_at = now
                yield b"event: beat\ndata: \n\n"
            await viewer.wait(BEAT_S)
    finally:
        hub.leave(key, viewer)
