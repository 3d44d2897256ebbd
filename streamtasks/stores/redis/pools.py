"""Pools of idle connections: one per process for threads, one per event loop for coroutines.

redis-py's own pools check before each use that a connection is alive, which costs a system call or two. These do not:
a call that meets a dead connection is sent again, which is safe with every call.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any
from weakref import WeakKeyDictionary

from redis.exceptions import MaxConnectionsError

from ...settings import StoreSettings
from .conversation import aexchange, exchange
from .endpoints import connection_key, endpoint_of
from .faults import fault_of
from .logins import alog_in_again, is_due, log_in_again
from .scripts import Answer, Behind, BehindOf, Call

__all__ = ["AsyncPool", "Pool", "async_pool", "sync_pool"]

MOST_IDLE = 32
_MOST_OUT = 65_536
"""More connections to one address no process can have."""


def _with_answer(replies: list[Any], count: int, master: str, behind: Behind, connection: Any) -> list[Any]:
    return [*replies[:count], Answer(master, behind, replies[count:], getattr(connection, "changes", 0))]


def _key(settings: StoreSettings) -> tuple[Any, ...]:
    return (os.getpid(), *connection_key(settings), settings.max_connections)


class Pool:
    """Connections of one process for the same settings; the one used last goes out first."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._endpoint = endpoint_of(settings)
        self.master = "" if settings.is_sentinel else self._endpoint.address
        self._changes = 0
        self._idle: deque[Any] = deque()
        self._listeners: deque[Any] = deque()
        # A token for each connection that may be out. This queue is written in C: a semaphore of `threading` takes ten
        # times as long, which shows in the time of each call.
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(min(settings.max_connections, _MOST_OUT)):
            self._places.put(None)

    def get(self) -> Any:
        """Return a connection, when fewer than ``max_connections`` are out. Give it back with `put`.

        Raises:
            MaxConnectionsError: all were out for ``timeout_s``.
        """
        try:
            self._places.get(timeout=self._settings.timeout_s)
        except Empty:
            raise MaxConnectionsError(f"all {self._settings.max_connections} connections are in use") from None
        return self.borrow()

    def put(self, connection: Any) -> None:
        """Take a connection back."""
        self.give_back(connection)
        self._places.put(None)

    def exchange(self, calls: Sequence[Call], behind: BehindOf | None = None) -> list[Any]:
        """Send calls on a connection and return the replies, and an `Answer` if something is behind.

        A connection that an error spoils is closed. If it did not answer in time, or is the wrong server, idle
        connections are closed as well: they lead to it, too.

        Raises:
            MaxConnectionsError: as `get`.
            RedisError: the connection broke, or a call was answered with an error.
        """
        if time.monotonic() >= self._endpoint.look_at:
            self._endpoint.look()
        connection = self.get()
        try:
            if connection.credential_provider is not None:
                log_in_again(connection)
            if behind is None:
                return exchange(connection, calls)
            connection.connect()  # what is behind depends on which server it is now
            last = behind(self.master)
            return _with_answer(exchange(connection, calls, last), len(calls), self.master, last, connection)
        except BaseException as error:
            fault = fault_of(error)
            if fault.spoils:
                connection.disconnect()
            if fault.spoils_idle:
                self.disconnect_idle()
            raise
        finally:
            self.put(connection)

    def borrow(self) -> Any:
        """Return a connection to wait on: it counts against nobody. Give it back with `give_back`."""
        if self._changes != self._endpoint.changes:  # they lead to where the master was
            self._changes = self._endpoint.changes
            self.disconnect_idle()
        try:
            return self._idle.pop()
        except IndexError:
            return self._endpoint.connection()

    def give_back(self, connection: Any) -> None:
        """Take a borrowed connection back; it must owe no reply."""
        if len(self._idle) < MOST_IDLE and self.is_current(connection):
            self._idle.append(connection)
        else:
            connection.disconnect()

    def borrow_listener(self) -> Any:
        """Return a connection to subscribe on. Something that was sent to its last subscriber may be unread."""
        with suppress(IndexError):
            while True:
                connection = self._listeners.pop()
                if self.is_current(connection) and not is_due(connection):
                    return connection
                connection.disconnect()
        return self.borrow()

    def give_back_listener(self, connection: Any) -> None:
        """Take a borrowed connection back on which SUNSUBSCRIBE was sent: no reply is waited for."""
        if len(self._listeners) < MOST_IDLE and connection.is_connected and self.is_current(connection):
            self._listeners.append(connection)
        else:
            connection.disconnect()

    def is_current(self, connection: Any) -> bool:
        """Whether a connection leads to where the master is, as far as is known."""
        return bool(getattr(connection, "changes", 0) == self._endpoint.changes)

    def disconnect_idle(self) -> None:
        """Close the idle connections."""
        for idle in (self._idle, self._listeners):
            with suppress(IndexError):
                while True:
                    idle.pop().disconnect()


_pools: dict[tuple[Any, ...], Pool] = {}


def sync_pool(settings: StoreSettings) -> Pool:
    """Return this process's pool for these settings. A forked child gets one of its own."""
    key = _key(settings)
    return _pools.get(key) or _pools.setdefault(key, Pool(settings))


class AsyncPool:
    """Connections of one event loop for the same settings. They are closed when the loop ends.

    Before it closes a loop, `asyncio.run` calls ``loop.shutdown_asyncgens()``, which closes asynchronous generators
    that have not ended. The pool keeps such a generator, `_until_the_loop_ends`, to be called then. If only
    ``loop.close()`` is called, the sockets are left to the garbage collector, as with any other library.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._endpoint = endpoint_of(settings)
        self.master = "" if settings.is_sentinel else self._endpoint.address
        self._changes = 0
        self._idle: deque[Any] = deque()
        self._listeners: deque[Any] = deque()
        self._places = asyncio.Semaphore(settings.max_connections)
        self._keeps = True
        self._guard: AsyncGenerator[None] | None = None

    async def open(self) -> None:
        """Register with the running loop, so that the pool is closed with it."""
        self._guard = self._until_the_loop_ends()
        await anext(self._guard)

    async def get(self) -> Any:
        """Return a connection, when fewer than ``max_connections`` are out. Give it back with `put`.

        Raises:
            MaxConnectionsError: all were out for ``timeout_s``.
        """
        try:
            async with asyncio.timeout(self._settings.timeout_s if self._places.locked() else None):
                await self._places.acquire()
        except TimeoutError as error:
            raise MaxConnectionsError(f"all {self._settings.max_connections} connections are in use") from error
        return self._idle.pop() if self._idle else self._endpoint.async_connection()

    async def put(self, connection: Any) -> None:
        """Take a connection back; it must owe no reply."""
        self._places.release()
        await self._keep(connection, self._idle)

    async def borrow_listener(self) -> Any:
        """See `Pool.borrow_listener`."""
        while self._listeners:
            connection = self._listeners.pop()
            if self._is_current(connection) and not is_due(connection):
                return connection
            await connection.disconnect(nowait=True)
        return self._endpoint.async_connection()

    async def give_back_listener(self, connection: Any) -> None:
        """See `Pool.give_back_listener`."""
        await self._keep(connection, self._listeners)

    async def _keep(self, connection: Any, idle: deque[Any]) -> None:
        if self._keeps and connection.is_connected and self._is_current(connection) and len(idle) < MOST_IDLE:
            idle.append(connection)
        else:
            await connection.disconnect(nowait=True)

    def _is_current(self, connection: Any) -> bool:
        return bool(getattr(connection, "changes", 0) == self._endpoint.changes)

    async def exchange(
        self, calls: Sequence[Call], behind: BehindOf | None = None, *, raises: bool = True
    ) -> list[Any]:
        """See `Pool.exchange`. ``raises``: whether errors of the server are raised; else they are among the replies.

        Raises:
            MaxConnectionsError: as `get`.
            RedisError: the connection broke, or a call was answered with an error.
        """
        if time.monotonic() >= self._endpoint.look_at:
            await self._endpoint.alook()
        if self._changes != self._endpoint.changes:  # they lead to where the master was
            self._changes = self._endpoint.changes
            await self.disconnect_idle(nowait=True)
        connection = await self.get()
        try:
            if connection.credential_provider is not None:
                await alog_in_again(connection)
            last = None
            if behind is not None:
                await connection.connect()  # what is behind depends on which server it is now
                last = behind(self.master)
            replies = await aexchange(connection, calls, last, raises=raises)
            if not raises and any(isinstance(reply, Exception) and fault_of(reply).spoils for reply in replies):
                await connection.disconnect(nowait=True)
        except BaseException as error:
            fault = fault_of(error)
            if fault.spoils:
                await connection.disconnect(nowait=True)
            if fault.spoils_idle:
                await self.disconnect_idle(nowait=True)
            raise
        else:
            return replies if last is None else _with_answer(replies, len(calls), self.master, last, connection)
        finally:
            await self.put(connection)

    async def close(self) -> None:
        """Close what is idle, and from now on each connection when it comes back."""
        self._keeps = False
        await self.disconnect_idle(nowait=False)
        # A generator holds the loop that it runs in, and so does a semaphore that was waited on.
        self._guard = None
        self._places = asyncio.Semaphore(self._settings.max_connections)

    async def disconnect_idle(self, *, nowait: bool) -> None:
        """Close the idle connections; ``nowait``: do not wait until their transports are closed."""
        idle = [*self._idle, *self._listeners]
        self._idle.clear()
        self._listeners.clear()
        await asyncio.gather(*(connection.disconnect(nowait=nowait) for connection in idle), return_exceptions=True)

    async def _until_the_loop_ends(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self.close()


_async_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[Any, ...], AsyncPool]] = WeakKeyDictionary()
_async_pools_lock = threading.Lock()


async def async_pool(settings: StoreSettings) -> AsyncPool:
    """Return the running event loop's pool for these settings."""
    loop = asyncio.get_running_loop()
    pools = _async_pools.get(loop)
    if pools is None:
        with _async_pools_lock:
            # A loop that was closed without a word is held by the connections it left here.
            for ended in [other for other in _async_pools if other.is_closed()]:
                del _async_pools[ended]
            pools = _async_pools[loop] = {}
    key = _key(settings)
    pool = pools.get(key)
    if pool is None:
        pool = pools[key] = AsyncPool(settings)
        await pool.open()
    return pool
