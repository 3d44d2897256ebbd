"""Pushes from the server to a thread: a connection that is subscribed to channels of some tasks."""

from __future__ import annotations

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
from .logins import Login, is_due, log_in_again
from .operations.read import RECORD_AT

__all__ = ["LEAVE", "LOOK_S", "PING_S", "RENEWED", "ROUNDING_S", "Subscription", "is_push_of", "names"]

LOOK_S: Final = 1.0
"""What is waited for is read this often, seconds, in case a push was lost."""

PING_S: Final = 3.0
"""A subscription on which nothing has come for so long, seconds, is pinged; one silent for twice as long is closed."""

RENEWED: Final = ("", SUBSCRIBED)
"""What is read from a subscription that was made anew."""

ROUNDING_S: Final = 0.05
"""A timer may end so much too early, seconds."""

LEAVE: Final = [pack_command(("SUNSUBSCRIBE",))]
"""What ends all subscriptions of a connection."""


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
                connection.send_packed_command(LEAVE, check_health=False)
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
                    if is_push_of(push, wanted):
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


def is_push_of(push: Any, wanted: set[bytes]) -> bool:
    """Return whether what was read is a push that names one of the wanted ids."""
    return bool(push) and push[0] == b"smessage" and names(push[2], wanted)


def names(text: bytes, wanted: set[bytes]) -> bool:
    """Return whether the text of a push names one of the wanted ids."""
    return not wanted.isdisjoint(text.partition(RECORD_AT)[0].split(b" "))
