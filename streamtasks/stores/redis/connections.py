"""Make connections, and say what is raised for their errors.

redis-py must not retry anything: it would repeat any write, and only the scripts are safe to repeat. So every
connection is made without retries, and the drivers retry until a deadline.
"""

from __future__ import annotations

import socket
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import hiredis
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import BusyLoadingError, RedisError, ResponseError
from redis.retry import Retry

from ...exceptions import AccessDenied, ConfigurationError, StoreError, StoreFull, StoreUnavailable
from ...settings import StoreSettings
from ..backoff import Backoff
from .faults import Course, fault_of

__all__ = [
    "Patience",
    "address",
    "lasting_error",
    "new_async_connection",
    "new_connection",
    "unavailable",
]


def connection_options(settings: StoreSettings) -> dict[str, Any]:
    """Return redis-py's connection keyword arguments, ``connection_class`` among them where it matters.

    Raises:
        ConfigurationError: the URL or an option cannot be understood.
    """
    try:
        options: dict[str, Any] = dict(parse_url(settings.url))
    except ValueError as error:
        raise ConfigurationError(f"url {settings.shown_url!r}: {error}") from error
    database = urlsplit(settings.url).path.strip("/")
    if "path" not in options and database and not database.isdigit():  # redis-py would use database 0
        raise ConfigurationError(
            f"url {settings.shown_url!r}: the database is {database!r}; it must be a number, as in redis://host:6379/0."
        )
    options.setdefault("host", "127.0.0.1") if "path" not in options else None
    options.update(settings.connection)
    for unwanted in ("retry_on_timeout", "retry_on_error", "decode_responses", "retry", "protocol"):
        options.pop(unwanted, None)
    defaults: dict[str, Any] = {
        # One try may not take longer than a call as a whole; a server that is stopped accepts and never answers.
        "socket_timeout": min(5.0, settings.timeout_s, settings.enqueue_retry_s),
        "socket_connect_timeout": min(3.0, settings.timeout_s, settings.enqueue_retry_s),
        "health_check_interval": 0,
        "protocol": 2,
    }
    if "path" in options:
        for needless in ("host", "port"):
            options.pop(needless, None)
        options.setdefault("connection_class", redis.UnixDomainSocketConnection)
    else:
        defaults["socket_keepalive"] = True
        defaults["socket_keepalive_options"] = keepalive_options()
    return defaults | options


def keepalive_options() -> dict[int, int]:
    """Return what lets the kernel end a connection whose other end is gone, within about 20 s, where it can."""
    wanted = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 2, "TCP_USER_TIMEOUT": 20_000}
    if sys.platform == "darwin":
        wanted["TCP_KEEPALIVE"] = wanted.pop("TCP_KEEPIDLE")
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}


def address(settings: StoreSettings) -> str:
    """Return ``host:port`` (or the path of the socket) for messages; never a password."""
    options = connection_options(settings)
    return str(options.get("path") or f"{options.get('host', '127.0.0.1')}:{options.get('port', 6379)}")


def new_connection(settings: StoreSettings, **overrides: Any) -> redis.Connection:
    """Return one connection of its own, not yet connected, with no retries."""
    options = connection_options(settings) | overrides
    connection_class = options.pop("connection_class", None)
    if connection_class is None:
        connection_class = redis.UnixDomainSocketConnection if "path" in options else redis.Connection
    return connection_class(  # type: ignore[no-any-return]
        retry=Retry(NoBackoff(), 0), command_packer=_Packer(), **options
    )


def new_async_connection(settings: StoreSettings) -> redis.asyncio.Connection:
    """Return the same for event loops."""
    options = connection_options(settings)
    connection_class = _async_class(options.pop("connection_class", None), options)
    return connection_class(retry=AsyncRetry(NoBackoff(), 0), **options)  # type: ignore[no-any-return]


class _Packer:
    """Packs commands of str, bytes, int and float; redis-py's own looks at every word first, which takes as long."""

    @staticmethod
    def pack(*words: Any) -> list[bytes]:
        """Return the bytes of one command. Its name may be two words ("SCRIPT LOAD")."""
        if " " in words[0]:
            words = (*words[0].split(), *words[1:])
        return [hiredis.pack_command(words)]


def _async_class(sync_class: type[Any] | None, options: dict[str, Any]) -> type[Any]:
    if sync_class is not None and issubclass(sync_class, redis.SSLConnection):
        return redis.asyncio.SSLConnection
    if "path" in options:
        return redis.asyncio.UnixDomainSocketConnection
    return redis.asyncio.Connection


def lasting_error(error: Exception, settings: StoreSettings) -> Exception | None:
    """Return what to raise for an error that repeating does not mend; None for one that may pass."""
    fault = fault_of(error)
    if fault.course is not Course.LASTS:
        return None
    if fault.refused:
        return AccessDenied(f"{address(settings)} refuses us: {error}. Check user, password and ACL.")
    if fault.full:
        return StoreFull(f"{address(settings)} is out of memory: {error}. Nothing was stored.")
    if isinstance(error, RedisError):
        return StoreError(f"{address(settings)} answered: {error}")
    return error


def unavailable(settings: StoreSettings, error: Exception, after_s: float | None = None) -> StoreUnavailable:
    """Return the error for a store that did not answer for ``after_s`` seconds (None: the settings' ``timeout_s``)."""
    seconds = settings.timeout_s if after_s is None else after_s
    how_long = f"in {seconds:g} s" if seconds else "at the first try"
    raised = StoreUnavailable(f"no answer from the store at {address(settings)} {how_long}: {error}")
    raised.reached = isinstance(error, (ResponseError, BusyLoadingError))
    return raised


class Patience:
    """One call's tries: how long to wait after each that failed, and when to give up.

    The waits are jittered and double from 20 ms to 1 s. The first is none at all: an idle connection may have died long
    ago, and a new one is made then.

    Args:
        settings: of the store.
        seconds: how long to try; None: ``timeout_s``.
        since: when the call began, `time.monotonic`; None: now.
    """

    def __init__(self, settings: StoreSettings, seconds: float | None = None, since: float | None = None) -> None:
        self._settings = settings
        self._seconds = settings.timeout_s if seconds is None else seconds
        self._deadline = (time.monotonic() if since is None else since) + self._seconds
        self._backoff = Backoff(0.02, 1.0, at_once=1)

    def delay_s(self, error: Exception) -> float:
        """Return how long to wait before the next try, seconds.

        Raises:
            StoreError: this error does not pass, or not in time.
        """
        lasting = lasting_error(error, self._settings)
        if lasting is not None:
            raise lasting from error
        delay = self._backoff.next_s()
        if not self._seconds or time.monotonic() + delay > self._deadline:
            raise unavailable(self._settings, error, self._seconds) from error
        return delay
