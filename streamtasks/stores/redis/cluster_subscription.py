"""Pushes from several masters, as if they came from one: a connection for each that has any of the channels."""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from redis.exceptions import RedisError

from ...exceptions import StoreUnavailable
from ...settings import StoreSettings
from ..backoff import Backoff
from ..types import SUBSCRIBED
from .async_subscription import AsyncSubscription
from .cluster.masters import Masters, masters_of
from .cluster.pools import ClusterPool
from .connections import unavailable
from .subscription import PING_S, RENEWED, Subscription, names

__all__ = ["AsyncClusterSubscription", "ClusterSubscription"]

AGAIN_S: Final = (0.1, 1.0)
"""So long after a connection broke or could not be opened it is made anew: the first time and at most, seconds."""

AT_ONCE_S: Final = 0.5
"""A master that takes longer to connect to does not delay what comes from others, seconds."""


type _Groups = list[tuple[StoreSettings, set[str]]]


def _by_master(masters: Masters, channels: Iterable[str]) -> tuple[_Groups, RedisError | None]:
    """Group channels by the master of their shard; return an error as well if nobody serves some of them.

    Raises:
        RedisError: nobody serves any.
    """
    found: dict[str, tuple[StoreSettings, set[str]]] = {}
    unknown: RedisError | None = None
    for channel in channels:
        try:
            settings = masters.of(channel.partition("{")[2].partition("}")[0])
        except RedisError as error:
            unknown = error
        else:
            found.setdefault(settings.url, (settings, set()))[1].add(channel)
    if unknown is not None and not found:
        raise unknown
    return list(found.values()), unknown


class ClusterSubscription:
    """See `Subscription`; a context manager."""

    def __init__(self, pool: ClusterPool, channels: set[str]) -> None:
        self._pool = pool
        self._channels = channels
        self._parts: list[Subscription] = []

    def __enter__(self) -> ClusterSubscription:
        masters = self._pool.masters
        with suppress(RedisError, OSError):  # what is waited for is read once a second in any case
            if masters.wants_look:
                masters.refresh()
            groups, _ = _by_master(masters, self._channels)
            for settings, channels in groups:
                tag = next(iter(channels)).partition("{")[2].partition("}")[0]
                self._parts.append(Subscription(settings, self._pool.pool_of(tag), channels).__enter__())
        return self

    def __exit__(self, *_: object) -> None:
        while self._parts:
            self._parts.pop().__exit__()

    def wait(self, wanted: set[bytes], seconds: float) -> bytes | None:
        """See `Subscription.wait`."""
        if len(self._parts) == 1:
            return self._parts[0].wait(wanted, seconds)
        if [part for part in self._parts if part.log_in_again()]:
            return b""
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            by_fd = {fd: part for part in self._parts if (fd := part.fileno()) is not None}
            poll = select.poll()
            for fd in by_fd:
                poll.register(fd, select.POLLIN)
            for fd, _ in poll.poll(left_s * 1000):
                if (text := by_fd[fd].wait(wanted, 0.001)) is not None:
                    return text
        return None


class AsyncClusterSubscription:
    """See `AsyncSubscription`; an asynchronous context manager.

    A master that is away disturbs nobody on the others: its channels are subscribed to again and again, wherever their
    slots are by then. ``(channel, SUBSCRIBED)`` is read for each of them as soon as that has succeeded.
    """

    def __init__(self, settings: StoreSettings, channels: set[str], ping_s: float = PING_S) -> None:
        self._settings = settings
        self._channels = channels
        self._ping_s = ping_s
        self._masters = masters_of(settings)
        self._parts: list[AsyncSubscription] = []
        self._readers: set[asyncio.Task[None]] = set()
        self._lost: set[str] = set()  # to be subscribed to again
        self._again: asyncio.Task[None] | None = None
        self._backoff = Backoff(*AGAIN_S)
        self._pushes: asyncio.Queue[tuple[str, str] | Exception] = asyncio.Queue()
        self._error: Exception | None = None
        self._is_open = False  # what stands only now may have missed messages

    async def __aenter__(self) -> AsyncClusterSubscription:
        await self._connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _connect(self) -> None:
        self._error, self._is_open = None, False
        try:
            started = await self._subscribe(self._channels)
        except (RedisError, OSError) as error:
            self._error = error
            return
        try:
            await self._until_it_stands(started)
        except BaseException:
            await self._close()
            raise
        self._is_open = True

    async def _subscribe(self, channels: set[str]) -> set[asyncio.Future[None]]:
        """Begin to read channels; return futures that are done when it is known whether each connection stands.

        Raises:
            RedisError: nobody serves any of them.
        """
        if self._masters.wants_look:
            await self._masters.arefresh()
        groups, unknown = _by_master(self._masters, channels)
        if unknown is not None:
            self._lose(channels.difference(*(some for _, some in groups)), unknown)
        started = set()
        for settings, some in groups:
            part = AsyncSubscription(settings, some, self._ping_s)
            future = asyncio.get_running_loop().create_future()
            reader = asyncio.ensure_future(self._read(part, some, future))
            self._parts.append(part)
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)
            started.add(future)
        return started

    async def _until_it_stands(self, pending: set[asyncio.Future[None]]) -> None:
        """Wait until it stands at one master at least, or at none, and `AT_ONCE_S` for the others."""
        begun = time.monotonic()
        while pending:
            left_s = begun + AT_ONCE_S - time.monotonic()
            stands = any(part.error is None for part in self._parts)
            if stands and left_s <= 0:
                return
            done, pending = await asyncio.wait(
                pending, timeout=left_s if stands else None, return_when=asyncio.FIRST_COMPLETED
            )
            for future in done:
                future.result()

    async def _close(self) -> None:
        tasks = [*self._readers, *([] if self._again is None else [self._again])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for part in self._parts:
            await part.__aexit__()
        self._parts, self._again = [], None
        self._lost.clear()

    async def _read(self, part: AsyncSubscription, channels: set[str], started: asyncio.Future[None]) -> None:
        """Read one connection until it breaks. ``started``: is done when it is known whether it stands."""
        try:
            await part.__aenter__()
        except Exception as error:  # noqa: BLE001 - who waits for it, or for a push, raises it
            if self._is_open:
                self._failed(error)
            elif not started.done():
                started.set_exception(error)
            return
        if not started.done():
            started.set_result(None)
        try:
            part.check()
            self._backoff.reset()
            if self._is_open:
                self._tell(channels)
            while True:
                push = await part.read()
                if push is RENEWED:
                    self._tell(channels)
                else:
                    self._pushes.put_nowait(push)
        except StoreUnavailable as error:
            self._parts.remove(part)
            await part.__aexit__()
            self._lose(channels, error.__cause__ if isinstance(error.__cause__, Exception) else error)

    def _tell(self, channels: set[str]) -> None:
        for channel in channels:
            self._pushes.put_nowait((channel, SUBSCRIBED))

    def _lose(self, channels: set[str], error: Exception) -> None:
        """Subscribe to channels again, soon; break if there is no other connection."""
        self._masters.note(error)
        self._lost |= channels
        if self._lost == self._channels:
            self._failed(error)
        elif self._again is None:
            self._again = asyncio.ensure_future(self._subscribe_again())

    async def _subscribe_again(self) -> None:
        while self._lost:
            await asyncio.sleep(self._backoff.next_s())
            channels, self._lost = self._lost, set()
            try:
                await self._subscribe(channels)
            except (RedisError, OSError) as error:
                self._lose(channels, error)
        self._again = None

    def _failed(self, error: Exception) -> None:
        self._masters.note(error)
        self._error = error
        self._pushes.put_nowait(error)

    def check(self) -> None:
        """See `AsyncSubscription.check`.

        Raises:
            StoreUnavailable: it stands at no master.
        """
        if self._error is not None:
            raise unavailable(self._settings, self._error, 0.0) from self._error

    async def read(self) -> tuple[str, str]:
        """See `AsyncSubscription.read`.

        Raises:
            StoreUnavailable: there is no connection left, or it could not be opened.
        """
        push = await self._pushes.get()
        if isinstance(push, Exception):
            raise unavailable(self._settings, push) from push
        return push

    async def wait(self, wanted: set[bytes], seconds: float, *, reconnect: bool = False) -> bytes | None:
        """See `AsyncSubscription.wait`."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    push = await self._pushes.get()
                    if isinstance(push, Exception):
                        continue
                    if push[1] == SUBSCRIBED:
                        return b""
                    if names(text := push[1].encode(), wanted):
                        return text
        except TimeoutError:
            if self._error is not None and reconnect:
                await self._close()
                await self._connect()
        return None
