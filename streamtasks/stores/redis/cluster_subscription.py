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
from .cluster.masters import Masters, masters_of
from .cluster.pools import ClusterPool
from .connections import unavailable
from .subscription import PING_S, RENEWED, AsyncSubscription, Subscription, names

__all__ = ["AsyncClusterSubscription", "ClusterSubscription"]

AGAIN_S: Final = 1.0
"""So long after masters could not be reached they are tried again, seconds."""

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

    def wait(self, wanted: set[bytes], seconds: float) -> None:
        """See `Subscription.wait`."""
        if len(self._parts) == 1:
            self._parts[0].wait(wanted, seconds)
            return
        if [part for part in self._parts if part.log_in_again()]:
            return
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            by_fd = {fd: part for part in self._parts if (fd := part.fileno()) is not None}
            poll = select.poll()
            for fd in by_fd:
                poll.register(fd, select.POLLIN)
            for fd, _ in poll.poll(left_s * 1000):
                if by_fd[fd].wait(wanted, 0.001):
                    return


class AsyncClusterSubscription:
    """See `AsyncSubscription`; an asynchronous context manager.

    A master that cannot be reached keeps nobody from hearing the others: after `AGAIN_S` the subscription breaks, to be
    made anew.
    """

    def __init__(self, settings: StoreSettings, channels: set[str], ping_s: float = PING_S) -> None:
        self._settings = settings
        self._channels = channels
        self._ping_s = ping_s
        self._masters = masters_of(settings)
        self._parts: list[AsyncSubscription] = []
        self._readers: list[asyncio.Task[None]] = []
        self._pushes: asyncio.Queue[tuple[str, str] | Exception] = asyncio.Queue()
        self._error: Exception | None = None
        self._again: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> AsyncClusterSubscription:
        await self._connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _connect(self) -> None:
        self._error = None
        try:
            if self._masters.wants_look:
                await self._masters.arefresh()
            groups, unknown = _by_master(self._masters, self._channels)
        except (RedisError, OSError) as error:
            self._error = error
            return
        if unknown is not None:
            self._again = asyncio.get_running_loop().call_later(AGAIN_S, self._failed, unknown)
        self._parts = [AsyncSubscription(settings, channels, self._ping_s) for settings, channels in groups]
        started: list[asyncio.Future[None]] = [asyncio.get_running_loop().create_future() for _ in self._parts]
        self._readers = [
            asyncio.ensure_future(self._read(part, future)) for part, future in zip(self._parts, started, strict=True)
        ]
        try:
            await self._until_it_stands(set(started))
        except BaseException:
            await self._close()
            raise

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
        if self._again is not None:
            self._again.cancel()
            self._again = None
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        for part in self._parts:
            await part.__aexit__()
        self._readers, self._parts = [], []

    async def _read(self, part: AsyncSubscription, started: asyncio.Future[None]) -> None:
        try:
            await part.__aenter__()
        except Exception as error:  # noqa: BLE001 - who waits for it raises it
            if not started.done():
                started.set_exception(error)
            return
        if not started.done():
            started.set_result(None)
        if part.error is not None:
            self._masters.note(part.error)
            if self._again is None:
                self._again = asyncio.get_running_loop().call_later(AGAIN_S, self._failed, part.error)
            return
        try:
            while True:
                self._pushes.put_nowait(await part.read())
        except StoreUnavailable as error:
            self._failed(error.__cause__ if isinstance(error.__cause__, Exception) else error)

    def _failed(self, error: Exception) -> None:
        self._masters.note(error)
        self._error = error
        self._pushes.put_nowait(error)

    def check(self) -> None:
        """See `AsyncSubscription.check`.

        Raises:
            StoreUnavailable: it stands at no master.
        """
        errors = [part.error for part in self._parts]
        if self._error is None and errors and all(error is not None for error in errors):
            self._error = errors[0]
        if self._error is not None:
            raise unavailable(self._settings, self._error, 0.0) from self._error

    async def read(self) -> tuple[str, str]:
        """See `AsyncSubscription.read`.

        Raises:
            StoreUnavailable: a connection broke, or could not be opened.
        """
        push = await self._pushes.get()
        if isinstance(push, Exception):
            raise unavailable(self._settings, push) from push
        return push

    async def wait(self, wanted: set[bytes], seconds: float, *, reconnect: bool = False) -> None:
        """See `AsyncSubscription.wait`."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    push = await self._pushes.get()
                    if push is RENEWED or (not isinstance(push, Exception) and names(push[1].encode(), wanted)):
                        return
        except TimeoutError:
            if self._error is not None and reconnect:
                await self._close()
                await self._connect()
