"""Keep open pages up to date: their live parts are made once for all viewers, and only while there are any.

A page is named by its address and the roles of who looks. Under ASGI one thread of the process looks whether anything
has changed, makes what is being looked at anew and hands it to the streams of all viewers, so that a further viewer
costs no command. Under WSGI, where a stream would hold a thread, pages ask now and then; answers are shared for a
second.

The thread compares counts and pauses. It does not watch events: while somebody watches, workers write one for each
task, which costs a drain some percent.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from html import unescape
from typing import Any, Final

from django.db import connections
from django.http import HttpResponse, StreamingHttpResponse

from streamtasks.exceptions import StreamTasksError
from streamtasks.protocol.json import dumps
from streamtasks.stores.base import Store

__all__ = ["BEAT_S", "MARK", "Key", "polled", "streamed"]

MARK: Final = "<!--live {name}-->"
"""What stands before and, with a stroke, behind the inside of a live part; escaped text cannot be one."""

LOOK_S: Final = 0.25
"""A store is looked at so often, s; one of many shards less often."""

SHARDS_A_SECOND: Final = 64
TICK_S: Final = 1.0
"""What is looked at is made anew so often though no count has changed: ages and progress have, s."""

SHARE: Final = 20
"""Between two times it rests for so many times what making took: at most a twentieth of a processor."""

BEAT_S: Final = 5.0
"""A stream says so often that it lives, s."""

STREAM_S: Final = 300.0
"""A stream ends after so long: who comes again is asked for permissions again, s."""

POLL_S: Final = 1.0
"""An answer to who polls is shared for so long, s."""

_MOST_VIEWERS: Final = 1000
_MOST_POLLED: Final = 64

_log: Final = logging.getLogger("streamtasks.dashboard")
_PART: Final = re.compile(rb"<!--live ([\w-]+)-->(.*?)<!--live /\1-->", re.DOTALL)
_TITLE: Final = re.compile(rb"<title>(.*?)</title>", re.DOTALL)

type Key = tuple[str, str, frozenset[str]]
"""An alias, an address with its query, and roles."""

type Make = Callable[[], HttpResponse]


def _payload(make: Make) -> bytes:
    """Return the live parts of a page as JSON, or why there are none."""
    try:
        content = make().content
    except StreamTasksError as error:
        return dumps({"problem": str(error.args[0] if error.args else error)})
    title = _TITLE.search(content)
    # A form has the token of one visitor: it is nobody else's.
    found = {name: text for name, text in _PART.findall(content) if b"csrfmiddlewaretoken" not in text}
    return dumps(
        {
            "title": unescape(title[1].decode()) if title else "",
            "parts": {name.decode(): text.decode() for name, text in found.items()},
        }
    )


# Polling: an answer is shared by all who ask within a second.


@dataclass(slots=True)
class _Answer:
    lock: threading.Lock = field(default_factory=threading.Lock)
    payload: bytes = b""
    at: float = float("-inf")


_answers: dict[Key, _Answer] = {}
_answers_lock = threading.Lock()


def polled(key: Key, make: Make) -> HttpResponse:
    """Answer with the live parts of a page, at most a second old."""
    with _answers_lock:
        answer = _answers.pop(key, None) or _Answer()
        _answers[key] = answer  # the last that was asked for is the last to go
        while len(_answers) > _MOST_POLLED:
            del _answers[next(iter(_answers))]
    with answer.lock:
        if time.monotonic() - answer.at > POLL_S:
            answer.payload, answer.at = _payload(make), time.monotonic()
        return HttpResponse(answer.payload, content_type="application/json")


# Streams: one thread for each alias that somebody looks at.


class _Viewer:
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
class _Page:
    make: Make
    viewers: set[_Viewer] = field(default_factory=set)
    payload: bytes = b""


class _Hub:
    """What somebody looks at in one store, and the thread that keeps it up to date while there is any."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._pages: dict[Key, _Page] = {}
        self._thread: threading.Thread | None = None
        self._joined = threading.Event()

    def join(self, key: Key, make: Make) -> tuple[_Page, _Viewer] | None:
        """Add a viewer of a page; None: there are too many."""
        with self._lock:
            if sum(len(page.viewers) for page in self._pages.values()) >= _MOST_VIEWERS:
                return None
            page = self._pages.get(key)
            if page is None:
                page = self._pages[key] = _Page(make)
                self._joined.set()
            viewer = _Viewer()
            page.viewers.add(viewer)
            if self._thread is None or not self._thread.is_alive():  # of before a fork, too
                self._thread = threading.Thread(target=self._run, name="streamtasks-dashboard", daemon=True)
                self._thread.start()
        return page, viewer

    def leave(self, key: Key, viewer: _Viewer) -> None:
        """Take a viewer off."""
        with self._lock:
            page = self._pages.get(key)
            if page is not None:
                page.viewers.discard(viewer)
                if not page.viewers:
                    del self._pages[key]

    def _run(self) -> None:
        seen: Any = None
        made_at = took = 0.0
        pause_s = max(LOOK_S, len(self.store.tags) / SHARDS_A_SECOND)
        try:
            while True:
                with self._lock:
                    if not self._pages:
                        self._thread = None
                        return
                    pages = list(self._pages.values())
                    self._joined.clear()
                now = time.monotonic()
                found = self._look()
                if found != seen or now - made_at >= TICK_S or not all(page.payload for page in pages):
                    seen, made_at = found, now
                    for page in pages:
                        self._renew(page)
                    took = time.monotonic() - now
                self._joined.wait(max(pause_s, SHARE * took))
        finally:
            connections.close_all()

    def _look(self) -> Any:
        try:
            return self.store.statistics(), self.store.pauses()
        except StreamTasksError as error:
            return str(error)  # the pages say it

    def _renew(self, page: _Page) -> None:
        try:
            payload = _payload(page.make)
        except Exception:  # noqa: BLE001 - a page that fails must not end the others
            _log.exception("A page of the dashboard could not be made anew")
            payload = dumps({"problem": "This page could not be made anew; the log of the site says why."})
        if payload != page.payload:
            page.payload = payload
            for viewer in list(page.viewers):
                viewer.wake()


_hubs: dict[str, _Hub] = {}
_hubs_lock = threading.Lock()


def streamed(key: Key, store: Store, make: Make) -> StreamingHttpResponse | HttpResponse:
    """Answer with a stream of server-sent events: the live parts of a page, whenever they change."""
    response = StreamingHttpResponse(_events(key, store, make), content_type="text/event-stream")
    response["X-Accel-Buffering"] = "no"  # nginx would collect them
    return response


async def _events(key: Key, store: Store, make: Make) -> AsyncIterator[bytes]:
    with _hubs_lock:
        hub = _hubs.get(key[0])
        if hub is None or hub.store is not store:  # settings have changed
            hub = _hubs[key[0]] = _Hub(store)
    joined = hub.join(key, make)
    if joined is None:
        yield b"event: full\ndata: \n\n"
        return
    page, viewer = joined
    sent, ends_at = b"", time.monotonic() + STREAM_S
    try:
        yield b"retry: 1000\n\n"
        while time.monotonic() < ends_at:
            payload = page.payload
            if payload and payload != sent:
                sent = payload
                yield b"data: " + payload + b"\n\n"
            else:
                yield b"event: beat\ndata: \n\n"
            await viewer.wait(BEAT_S)
    finally:
        hub.leave(key, viewer)
