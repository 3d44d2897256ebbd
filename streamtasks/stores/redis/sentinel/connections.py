"""Connections that find the master whenever they connect, and leave a server that is none."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import redis
import redis.asyncio
from hiredis import pack_command
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
from redis.retry import Retry

from ..addresses import SentinelAddress
from ..logins import with_login
from ..nodes import Node
from ..replies import aread_replies, read_replies
from ..sentinel_errors import NotMaster
from .replicas import report_of
from .search import Answer, Ask, Search, Try

__all__ = ["AsyncMaster", "AsyncMasterTLS", "Master", "MasterTLS", "aask", "asentinel", "ask", "sentinel"]


class _FindsMaster:
    """A mixin before redis-py's class: `connect` asks Sentinels, and checks the role of the server that they name.

    Attributes:
        search: what is known of the service.
        changes: `Search.changes` when the connection was made.
    """

    search: Search
    changes = 0

    def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:  # noqa: ARG002
        if self._sock:  # type: ignore[attr-defined]
            return
        steps = self.search.steps()
        step = next(steps)
        try:
            while True:
                step = steps.send(self._take(step, check_health=check_health))
        except StopIteration as stop:
            self.changes = self.search.changes_at(stop.value)

    def _take(self, step: Ask | Try, *, check_health: bool) -> Answer | Exception | None:
        connection: Any = self
        try:
            if isinstance(step, Ask):
                return ask(self.search.address, step.sentinel)
            connection.host, connection.port = step.server
            super().connect_check_health(check_health, False)  # type: ignore[misc]
            connection.send_packed_command([_HELLO], check_health=False)
            _check_role(connection.read_response(), step.server)
        except (RedisError, OSError) as error:
            if isinstance(step, Try):
                connection.disconnect()
            return error
        return None


class _FindsMasterAsync:
    """The same on an event loop."""

    search: Search
    changes = 0

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:  # noqa: ARG002
        if self.is_connected:  # type: ignore[attr-defined]
            return
        steps = self.search.steps()
        step = next(steps)
        try:
            while True:
                step = steps.send(await self._take(step, check_health=check_health))
        except StopIteration as stop:
            self.changes = self.search.changes_at(stop.value)

    async def _take(self, step: Ask | Try, *, check_health: bool) -> Answer | Exception | None:
        connection: Any = self
        try:
            if isinstance(step, Ask):
                return await aask(self.search.address, step.sentinel)
            connection.host, connection.port = step.server
            await super().connect_check_health(check_health, False)  # type: ignore[misc]
            await connection.send_packed_command(_HELLO, check_health=False)
            _check_role(await connection.read_response(), step.server)
        except (RedisError, OSError) as error:
            if isinstance(step, Try):
                await connection.disconnect(nowait=True)
            return error
        return None


class Master(_FindsMaster, redis.Connection):
    """A connection to the master of a service."""


class MasterTLS(_FindsMaster, redis.SSLConnection):
    """The same with TLS."""


class AsyncMaster(_FindsMasterAsync, redis.asyncio.Connection):
    """The same for event loops."""


class AsyncMasterTLS(_FindsMasterAsync, redis.asyncio.SSLConnection):
    """The same with TLS."""


def _packed(commands: Sequence[tuple[str, ...]]) -> bytes:
    return b"".join(pack_command(words) for words in commands)  # type: ignore[arg-type]


# ROLE would do, but needs a right that least-privileged users do not have; any user may say HELLO.
_HELLO = _packed([("HELLO", "2")])


def _check_role(hello: Sequence[Any], server: Node) -> None:
    words = [word.decode() if isinstance(word, bytes) else word for word in hello]
    role = dict(zip(words[::2], words[1::2], strict=False)).get("role")
    if role != "master":
        raise NotMaster(f"{server} is a {role}")


def sentinel(address: SentinelAddress, node: Node) -> Any:
    """Return a connection to a Sentinel, not yet connected."""
    options = dict(address.options)
    kind = options.pop("connection_class", redis.Connection)
    return kind(host=node.host, port=node.port, retry=Retry(NoBackoff(), 0), **with_login(options))


def asentinel(address: SentinelAddress, node: Node) -> Any:
    """Return the same for event loops."""
    options = dict(address.options)
    tls = issubclass(options.pop("connection_class", redis.Connection), redis.SSLConnection)
    kind = redis.asyncio.SSLConnection if tls else redis.asyncio.Connection
    return kind(host=node.host, port=node.port, retry=AsyncRetry(NoBackoff(), 0), **with_login(options))


def ask(address: SentinelAddress, node: Node) -> Answer:
    """Ask a Sentinel for the master.

    Raises:
        RedisError: it cannot be reached, refuses us, or is no Sentinel.
    """
    connection, questions = sentinel(address, node), _questions(address.service)
    try:
        connection.connect()
        commands = next(questions)
        while True:
            connection.send_packed_command([_packed(commands)], check_health=False)
            commands = questions.send(read_replies(connection, len(commands))[0])
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        connection.disconnect()


async def aask(address: SentinelAddress, node: Node) -> Answer:
    """Do the same on an event loop.

    Raises:
        RedisError: as `ask`.
    """
    connection, questions = asentinel(address, node), _questions(address.service)
    try:
        await connection.connect()
        commands = next(questions)
        while True:
            await connection.send_packed_command(_packed(commands), check_health=False)
            commands = questions.send(await aread_replies(connection, len(commands)))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        await connection.disconnect(nowait=True)


def _questions(service: str) -> Generator[list[tuple[str, ...]], list[Any], Answer]:
    """Yield commands for a Sentinel, be sent their replies; return what they say. Only the first must be permitted."""
    where, state, replicas = yield [
        ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service),
        ("SENTINEL", "MASTER", service),
        ("SENTINEL", "REPLICAS", service),
    ]
    if isinstance(where, NoPermissionError):
        raise AuthenticationError(str(where)) from where
    if isinstance(where, ResponseError):
        raise ResponseError(f"it is no Sentinel: it answers {where}") from where
    if where is None:
        [services] = yield [("SENTINEL", "MASTERS")]
        known = [] if isinstance(services, ResponseError) else [_fields(one)["name"] for one in services]
        return Answer(None, services=tuple(known))
    fields = {} if isinstance(state, ResponseError) else _fields(state)
    master, epoch = Node(where[0].decode(), int(where[1])), fields.get("config-epoch")
    each = [] if isinstance(replicas, ResponseError) else [_fields(one) for one in replicas]
    return Answer(master, None if epoch is None else int(epoch), report=report_of(master, fields, each))


def _fields(flat: Sequence[bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=False)}
