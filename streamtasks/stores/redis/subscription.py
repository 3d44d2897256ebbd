"""Pushes from the server: a connection that is subscribed to channels of some tasks, or of shards."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from hiredis import pack_command
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ...exceptions import StoreError
from ...settings import StoreSettings
from ..types import SUBSCRIBED
from . import connections, pools
from .faults import fault_of
from .logins import Login, due_in_s, is_due, log_in_again
from .operations.read import RECORD_AT
from .sentinel.search import Search
from .sentinel.watch import next_switch

__all__ = ["LOOK_S", "PING_S", "RENEWED", "AsyncSubscription", "Subscription", "names"]

LOOK_S: Final = 1.0
"""What is waited for is read this often, seconds, in case a push was lost."""

PING_S: Final = 3.0
"""A subscription on which nothing has come for so long, seconds, is pinged; one silent for twice as long is closed."""

RENEWED: Final = ("", SUBSCRIBED)
"""What is read from a subscription that was made anew."""

ROUNDING_S: Final = 0.05
"""A timer may end so much too early, seconds."""

_LEAVE: Final = [pack_command(("SUNSUBSCRIBE",))]  # of all


class Subscription:
    """A connection of a pool that is subscribed to channels while it is used; a context manager.

    If the connection breaks, `wait` only sleeps: reading every `LOOK_S` seconds goes on.
    """

    def __init__(self, settings: StoreSettings, pool: pools.Pool, channels: set[str]) -> None:
        self._settings = settings
        self._pool = pool
        self._channels = channels
        self._connection: Any = None
        self._heard_at = 0.0
        self._pinged = False

    def __enter__(self) -> Subscription:
        self._connection = self._pool.borrow_listener()
        try:
            log_in_again(self._connection)
            self._subscribe()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Unsubscribe and return the connection to its pool; the answer is read when it is used again."""
        connection = self._connection
        try:
            if connection.is_connected:
                connection.send_packed_command(_LEAVE, check_health=False)
        except (RedisError, OSError):
            connection.disconnect()
        self._pool.give_back_listener(connection)

    def _subscribe(self) -> None:
        connection, left = self._connection, len(self._channels)
        was_idle = connection.is_connected
        try:
            # In one packet, but each for itself: their slots may differ.
            commands = [("SSUBSCRIBE", channel) for channel in self._channels]
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            while left:  # what comes before is of the last subscription
                left -= connection.read_response()[0] == b"ssubscribe"
        except (RedisError, OSError) as error:
            lasting = connections.lasting_error(error, self._settings)
            if lasting is not None:
                raise lasting from error
            self._connection.disconnect()
            if fault_of(error).spoils_idle:
                self._pool.disconnect_idle()
            if was_idle:
                self._subscribe()
        self._heard_at = time.monotonic()
        self._pinged = False

    def log_in_again(self) -> bool:
        """Go over to a new connection if the login ends soon: what is subscribed takes no AUTH. Return whether it did.

        The old one goes when the new one is subscribed, or stays if that fails.
        """
        old, error = self._connection, Exception("there is no new connection")
        if not is_due(old):
            return False
        self._connection = self._pool.borrow()
        try:
            log_in_again(self._connection)
            self._subscribe()
        except StoreError as raised:
            error = raised
        if not self._connection.is_connected:
            login: Login = old.credential_provider
            login.failed(old, error)
            self._pool.give_back(self._connection)
            self._connection = old
            return False
        old.disconnect()
        return True

    def fileno(self) -> int | None:
        """Return the descriptor of the connection; None: it is broken."""
        return int(self._connection._sock.fileno()) if self._connection.is_connected else None

    def wait(self, wanted: set[bytes], seconds: float) -> bytes | None:
        """Return the text of the next push that names one of the wanted ids; None: none came in this time.

        Empty: one may have been missed.
        """
        until = time.monotonic() + seconds
        if self.log_in_again():
            return b""
        connection = self._connection
        try:
            while (left := until - time.monotonic()) > 0:
                if not connection.is_connected:
                    time.sleep(left)
                    return None
                if not self._pool.is_current(connection):
                    connection.disconnect()
                    self._subscribe()
                    continue
                push = _read_within(connection, left)
                if push is not None:
                    self._heard_at, self._pinged = time.monotonic(), False
                    if _names(push, wanted):
                        return push[2]  # type: ignore[no-any-return]
            silent_s = time.monotonic() - self._heard_at
            if silent_s >= 2 * PING_S:
                connection.disconnect()
                self._pool.disconnect_idle()
                self._subscribe()
            elif silent_s >= PING_S and not self._pinged:
                self._pinged = True
                connection.send_command("PING", check_health=False)
        except (RedisError, OSError):
            connection.disconnect()
        return None


def _read_within(connection: Any, seconds: float) -> Any:
    """Return what comes within this time; None: nothing. To ask before whether anything is there takes longer."""
    connection._sock.settimeout(seconds)
    try:
        return connection.read_response(disconnect_on_error=False)
    except RedisTimeoutError:
        return None
    finally:
        if connection._sock is not None:
            connection._sock.settimeout(connection.socket_timeout)


class AsyncSubscription:
    """The same on an event loop, on a connection of its own; an asynchronous context manager.

    ``ping_s``: after so long a silence it is pinged, seconds.
    """

    def __init__(self, settings: StoreSettings, channels: set[str], ping_s: float = PING_S) -> None:
        self._settings = settings
        self._channels = channels
        self._connection: Any = None
        self._error: Exception = ConnectionError("not subscribed")
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
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)

    def leave_when_moved(self, search: Search) -> None:
        """Break the connection as soon as Sentinels announce a new master; for a subscription that stands for long."""

        async def leave(connection: Any) -> None:
            await next_switch(search, connection.changes)
            await connection.disconnect(nowait=True)

        self._search = search
        self._leaving = asyncio.ensure_future(leave(self._connection))

    async def _connect(self) -> None:
        """Open the connection and subscribe, if that is possible now."""
        connection: Any = connections.new_async_connection(self._settings)
        try:
            await connection.connect()
            # In one packet, but each for itself: their slots may differ.
            await connection.send_packed_command(
                connection.pack_commands([("SSUBSCRIBE", channel) for channel in self._channels])
            )
            for _ in self._channels:
                await connection.read_response()
            connection.socket_timeout = None  # long silence is normal from now on
        except (RedisError, OSError) as error:
            await connection.disconnect(nowait=True)
            lasting = connections.lasting_error(error, self._settings)
            if lasting is not None:
                raise lasting from error
            self._error = error
            return
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._connection = connection
        self._heard_at, self._pinged = time.monotonic(), False

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
                if _names(push, wanted):
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


def _names(push: Any, wanted: set[bytes]) -> bool:
    return bool(push) and push[0] == b"smessage" and names(push[2], wanted)


def names(text: bytes, wanted: set[bytes]) -> bool:
    """Return whether the text of a push names one of the wanted ids."""
    return not wanted.isdisjoint(text.partition(RECORD_AT)[0].split(b" "))
