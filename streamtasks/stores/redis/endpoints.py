"""Where connections to a shard lead: a fixed address, or the master that Sentinels name.

An `Endpoint` stands for one master. A Cluster has one for each of its masters; the tag of a call chooses among them.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import hiredis
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from ...exceptions import ConfigurationError
from ...settings import StoreSettings
from .addresses import connection_options, sentinel_address
from .logins import with_login
from .sentinel.connections import AsyncMaster, AsyncMasterTLS, Master, MasterTLS, aask, ask, sentinel
from .sentinel.search import Search

__all__ = ["Endpoint", "connection_key", "endpoint_of"]


class Endpoint(Protocol):
    """One master, for as long as the process lives; it may move to another address."""

    @property
    def address(self) -> str:
        """Where it is, for messages: never with a password."""
        ...

    @property
    def search(self) -> Search | None:
        """How Sentinels are asked, and what they have announced; None: there are none."""
        ...

    @property
    def changes(self) -> int:
        """How often it has moved: a connection whose own ``changes`` is another number leads to where it was."""
        ...

    @property
    def look_at(self) -> float:
        """When to `look` again whether it has moved, `time.monotonic`."""
        ...

    def connection(self) -> redis.Connection:
        """Return a connection, not yet connected, that never retries."""
        ...

    def async_connection(self) -> redis.asyncio.Connection:
        """Return the same for event loops."""
        ...

    def look(self) -> None:
        """Learn whether it has moved, where no connection would show it soon."""
        ...

    async def alook(self) -> None:
        """Do the same on an event loop."""
        ...


class FixedEndpoint:
    """The server at one address: when it is moved, connections break, or it answers that it is a replica."""

    search = None
    changes = 0
    look_at = math.inf

    def __init__(self, settings: StoreSettings) -> None:
        options = connection_options(settings)
        self.address = str(options.get("path") or f"{options.get('host')}:{options.get('port', 6379)}")
        sync_class = options.pop("connection_class", redis.Connection)
        self._class, self._async_class = sync_class, _async_class(sync_class, options)
        self._options = options

    def connection(self) -> redis.Connection:
        """See `Endpoint.connection`."""
        return self._class(  # type: ignore[no-any-return]
            retry=Retry(NoBackoff(), 0), command_packer=Packer(), **with_login(self._options)
        )

    def async_connection(self) -> redis.asyncio.Connection:
        """See `Endpoint.async_connection`."""
        return self._async_class(retry=AsyncRetry(NoBackoff(), 0), **with_login(self._options))  # type: ignore[no-any-return]

    def look(self) -> None:
        """See `Endpoint.look`."""

    async def alook(self) -> None:
        """See `Endpoint.look`."""


class SentinelEndpoint:
    """The master of a service, wherever its Sentinels say that it is."""

    def __init__(self, settings: StoreSettings) -> None:
        self._options = connection_options(settings)
        self.search = Search(sentinel_address(settings))
        tls = issubclass(self._options.pop("connection_class", redis.Connection), redis.SSLConnection)
        self._class: type[Any] = MasterTLS if tls else Master
        self._async_class: type[Any] = AsyncMasterTLS if tls else AsyncMaster
        sentinel(self.search.address, self.search.address.sentinels[0])  # raises if an option is unknown

    @property
    def address(self) -> str:
        """See `Endpoint.address`."""
        service, sentinels, _ = self.search.address
        where = f"{self.search.tried}, " if self.search.tried else ""
        return f"{where}master of {service!r} by Sentinel {', '.join(map(str, sentinels))}"

    @property
    def changes(self) -> int:
        """See `Endpoint.changes`."""
        return self.search.changes

    @property
    def look_at(self) -> float:
        """See `Endpoint.look_at`."""
        return self.search.look_at

    def connection(self) -> redis.Connection:
        """See `Endpoint.connection`."""
        made: redis.Connection = self._class(
            retry=Retry(NoBackoff(), 0), command_packer=Packer(), **with_login(self._options)
        )
        made.search = self.search  # type: ignore[attr-defined]
        return made

    def async_connection(self) -> redis.asyncio.Connection:
        """See `Endpoint.async_connection`."""
        made: redis.asyncio.Connection = self._async_class(
            retry=AsyncRetry(NoBackoff(), 0), **with_login(self._options)
        )
        made.search = self.search  # type: ignore[attr-defined]
        return made

    def look(self) -> None:
        """See `Endpoint.look`."""
        steps = self.search.look()
        try:
            asked = next(steps).sentinel
            while True:
                try:
                    reply: Any = ask(self.search.address, asked)
                except (RedisError, OSError) as error:
                    reply = error
                asked = steps.send(reply).sentinel
        except StopIteration:
            return

    async def alook(self) -> None:
        """See `Endpoint.look`."""
        steps = self.search.look()
        try:
            asked = next(steps).sentinel
            while True:
                try:
                    reply: Any = await aask(self.search.address, asked)
                except (RedisError, OSError) as error:
                    reply = error
                asked = steps.send(reply).sentinel
        except StopIteration:
            return


class Packer:
    """Packs commands of str, bytes, int and float; redis-py's own looks at every word first, which takes as long."""

    @staticmethod
    def pack(*words: Any) -> list[bytes]:
        """Return the bytes of one command. Its name may be two words ("SCRIPT LOAD")."""
        if " " in words[0]:
            words = (*words[0].split(), *words[1:])
        return [hiredis.pack_command(words)]


def _async_class(sync_class: type[Any], options: dict[str, Any]) -> type[Any]:
    if issubclass(sync_class, redis.SSLConnection):
        return redis.asyncio.SSLConnection
    if "path" in options:
        return redis.asyncio.UnixDomainSocketConnection
    return redis.asyncio.Connection


_endpoints: dict[tuple[Any, ...], Endpoint] = {}


def endpoint_of(settings: StoreSettings) -> Endpoint:
    """Return the endpoint of all shards of these settings, one for the whole process.

    Raises:
        ConfigurationError: the URL or an option cannot be understood.
    """
    key = (*connection_key(settings), settings.timeout_s, settings.enqueue_retry_s)
    found = _endpoints.get(key)
    if found is None:
        try:
            made = SentinelEndpoint(settings) if settings.is_sentinel else FixedEndpoint(settings)
        except TypeError as error:
            raise ConfigurationError(f"sentinel_connection: {error}") from error
        found = _endpoints.setdefault(key, made)
    return found


def connection_key(settings: StoreSettings) -> tuple[Any, ...]:
    """Return what tells apart settings whose connections lead to other places, or there in another way."""
    options = [
        tuple(sorted((name, repr(value)) for name, value in given.items()))
        for given in (settings.connection, settings.sentinel_connection)
    ]
    return (settings.url, *options)
