"""Pushes from the server to an event loop: a connection subscribed to channels of some tasks, or of shards."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from redis.exceptions import RedisError

from ...exceptions import StoreError
from ...settings import StoreSettings
from . import connections, pools
from .logins import Login, due_in_s, is_due
from .sentinel.search import Search
from .sentinel.watch import next_switch
from .subscription import LEAVE, PING_S, RENEWED, ROUNDING_S, is_push_of

__all__ = ["AsyncSubscription"]


class AsyncSubscription:
    """See `Subscription`; an asynchronous context manager.

    ``ping_s``: after so long a silence it is pinged, seconds.
    """

    def __init__(self, settings: StoreSettings, channels: set[str], ping_s: float = PING_S) -> None:
        self._settings = settings
        self._channels = channels
        self._connection: Any = None
        self._error: Exception = ConnectionError("not subscribed")
        self._timeout_s: float | None = None  # of its connection, when nothing is subscribed
        self._leaving: asyncio.Task[None] | None = None
        self._search: Search | None = None
        self._ping_s = ping_s
        self._heard_at = 0.0
        self._pinged = False

    async def __aenter__(self) -> AsyncSubscription:
        await self._connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.socket_timeout = self._timeout_s
        try:
            if connection.is_connected:
                await connection.send_packed_command(LEAVE, check_health=False)
        except BaseException as error:
            await connection.disconnect(nowait=True)
            if not isinstance(error, (RedisError, OSError)):
                raise
        else:
            await (await pools.async_pool(self._settings)).give_back_listener(connection)

    def leave_when_moved(self, search: Search) -> None:
        """Break the connection as soon as Sentinels announce a new master; for a subscription that stands for long."""

        async def leave(connection: Any) -> None:
            await next_switch(search, connection.changes)
            await connection.disconnect(nowait=True)

        self._search = search
        self._leaving = asyncio.ensure_future(leave(self._connection))

    async def _connect(self) -> None:
        """Take a connection and subscribe, if that is possible now."""
        pool = await pools.async_pool(self._settings)
        connection = await pool.borrow_listener()
        was_idle = connection.is_connected
        try:
            await self._subscribe(connection)
        except (RedisError, OSError) as error:
            await connection.disconnect(nowait=True)
            lasting = connections.lasting_error(error, self._settings)
            if lasting is not None:
                raise lasting from error
            if was_idle:  # its server may have gone meanwhile, and with it all that are idle
                await pool.disconnect_idle(nowait=True)
                await self._connect()
                return
            self._error = error
            return
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._connection = connection
        self._heard_at, self._pinged = time.monotonic(), False

    async def _subscribe(self, connection: Any) -> None:
        await connection.connect()
        left = len(self._channels)
        # In one packet, but each for itself: their slots may differ.
        commands = [("SSUBSCRIBE", channel) for channel in self._channels]
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        while left:  # what comes before is of the last subscription
            left -= (await connection.read_response())[0] == b"ssubscribe"
        self._timeout_s = connection.socket_timeout
        connection.socket_timeout = None  # long silence is normal from now on

    async def _log_in_again(self) -> bool:
        """Make the connection anew if its login ends soon: one that is subscribed takes no AUTH. Return whether it did.

        The old one goes when the new one is subscribed, or stays if that fails.
        """
        old = self._connection
        if not is_due(old):
            return False
        try:
            await self._connect()
            failed = self._error if self._connection is old else None
        except StoreError as error:
            failed = error
        if failed is not None:
            login: Login = old.credential_provider
            login.failed(old, failed)
            return False
        if self._leaving is not None and self._search is not None:
            self._leaving.cancel()
            self.leave_when_moved(self._search)
        await old.disconnect(nowait=True)
        return True

    async def wait(self, wanted: set[bytes], seconds: float, *, reconnect: bool = False) -> bytes | None:
        """Return the text of a push that names one of the wanted ids, as `Subscription.wait` does.

        ``reconnect``: subscribe again, after the time is up, if the connection is broken.
        """
        until = time.monotonic() + seconds
        if self._connection is None:
            await asyncio.sleep(seconds)
            if reconnect:
                await self._connect()
            return None
        try:
            if await self._log_in_again():
                return b""
            while (left := until - time.monotonic()) > 0:
                # Its own timeout leaves the connection whole; cancelling the read would close it.
                push = await self._connection.read_response(timeout=left)
                if push is not None:
                    self._heard_at, self._pinged = time.monotonic(), False
                if is_push_of(push, wanted):
                    return push[2]  # type: ignore[no-any-return]
            await self._check_silence()
        except (RedisError, OSError):
            await self._connection.disconnect(nowait=True)
            self._connection = None
        return None

    @property
    def error(self) -> Exception | None:
        """Why the subscription does not stand; None: it does."""
        return self._error if self._connection is None else None

    def check(self) -> None:
        """Check that the subscription stands.

        Raises:
            StoreUnavailable: it does not.
        """
        if self._connection is None:
            raise connections.unavailable(self._settings, self._error, 0.0) from self._error

    async def read(self) -> tuple[str, str]:
        """Return the next push as (channel, text); `RENEWED`: subscribed anew, pushes may have been missed.

        Raises:
            StoreUnavailable: the connection broke, or could not be opened.
        """
        self.check()
        try:
            while True:
                if await self._log_in_again():
                    return RENEWED
                timeout_s = min(self._ping_s, due_in_s(self._connection) + ROUNDING_S)
                push = await self._connection.read_response(timeout=timeout_s)
                if push is None:
                    await self._check_silence()
                    continue
                self._heard_at, self._pinged = time.monotonic(), False
                if push[0] == b"smessage":
                    return push[1].decode(), push[2].decode()
                if push[0] == b"sunsubscribe":  # unasked: the slot of the channel has moved
                    raise ConnectionError(f"the server does not have {push[1].decode()} any more")
        except (RedisError, OSError) as error:
            raise connections.unavailable(self._settings, error) from error

    async def _check_silence(self) -> None:
        """Ping a connection on which nothing has come for long.

        Raises:
            TimeoutError: the answer to a ping did not come either.
        """
        silent_s = time.monotonic() - self._heard_at
        if silent_s >= 2 * self._ping_s:
            raise TimeoutError(f"nothing came for {silent_s:.0f} s")
        if silent_s >= self._ping_s and not self._pinged:
            self._pinged = True
            await self._connection.send_command("PING", check_health=False)
