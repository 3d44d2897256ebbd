"""Log in again on connections that live, before their credentials end: services close them then, or refuse calls.

It is done where a connection owes no reply and will not be waited on: between exchanges, and before a blocking read.
One that is subscribed takes no AUTH; its owner makes a new one.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Any, Final, Protocol, override

from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from ..backoff import Backoff

__all__ = ["Login", "Source", "alog_in_again", "due_in_s", "is_due", "log_in_again", "with_login"]

AGAIN_S: Final = 1.0
MOST_AGAIN_S: Final = 30.0
"""After a failure the next try follows so soon at first and so late at last, seconds; until it succeeds the old login
serves, or the server ends it."""

logger = logging.getLogger("streamtasks.store")

type Credentials = tuple[str] | tuple[str, str]


class Source(Protocol):
    """Where the credentials of all connections of an endpoint come from."""

    def get_credentials(self) -> Credentials:
        """Return user and password, or the password alone."""
        ...

    async def get_credentials_async(self) -> Credentials:
        """Do the same on an event loop."""
        ...

    def renew_in_s(self) -> float:
        """Return when to log in again with what was returned last, seconds from now; infinite: not at all."""
        ...


class Login(CredentialProvider):
    """The login of one connection.

    Attributes:
        due: when to log in again, `time.monotonic`.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._backoff = Backoff(AGAIN_S, MOST_AGAIN_S)
        self.due = math.inf

    @override
    def get_credentials(self) -> Credentials:
        found = self._source.get_credentials()
        self._learn()
        return found

    @override
    async def get_credentials_async(self) -> Credentials:
        found = await self._source.get_credentials_async()
        self._learn()
        return found

    def _learn(self) -> None:
        self.due = time.monotonic() + self._source.renew_in_s()

    def succeeded(self) -> None:
        """Note that the server took the new credentials."""
        self._backoff.reset()

    def failed(self, connection: Any, error: Exception) -> None:
        """Note why it is still logged in with the old ones."""
        if not self._backoff.tries:
            where = getattr(connection, "path", None) or f"{connection.host}:{connection.port}"
            logger.warning("a connection to %s could not log in again, and stays as it is for now: %s", where, error)
        self.due = time.monotonic() + self._backoff.next_s()


def with_login(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options for one connection: with a login of its own where there is a provider."""
    source = options.get("credential_provider")
    return options if source is None else options | {"credential_provider": Login(source)}


def due_in_s(connection: Any) -> float:
    """Return when a connection has to log in again, seconds from now, 0 at least; infinite: it has not to."""
    login = connection.credential_provider
    return math.inf if login is None else max(0.0, login.due - time.monotonic())


def is_due(connection: Any, within_s: float = 0.0) -> bool:
    """Whether an open connection has to log in again now, or within this time."""
    login = connection.credential_provider
    return login is not None and time.monotonic() + within_s >= login.due and bool(connection.is_connected)


def log_in_again(connection: Any) -> None:
    """Log in again, if that is due, on a connection that owes no reply. One that breaks is closed, to be made anew.

    If there are no new credentials, or the server refuses them, it stays as it is, and it is tried again later.
    """
    if not is_due(connection):
        return
    login: Login = connection.credential_provider
    try:
        words = login.get_credentials()
    except (RedisError, OSError) as error:
        login.failed(connection, error)
        return
    try:
        connection.send_command("AUTH", *words, check_health=False)
        connection.read_response(disconnect_on_error=False)
    except (AuthenticationError, ResponseError) as error:
        login.failed(connection, error)
    except BaseException as error:
        connection.disconnect()
        if not isinstance(error, (RedisError, OSError)):
            raise
    else:
        login.succeeded()


async def alog_in_again(connection: Any) -> None:
    """Do the same on an event loop."""
    if not is_due(connection):
        return
    login: Login = connection.credential_provider
    try:
        words = await login.get_credentials_async()
    except (RedisError, OSError) as error:
        login.failed(connection, error)
        return
    try:
        await connection.send_command("AUTH", *words)
        await connection.read_response(disconnect_on_error=False)
    except (AuthenticationError, ResponseError) as error:
        login.failed(connection, error)
    except BaseException as error:
        await connection.disconnect(nowait=True)
        if not isinstance(error, (RedisError, OSError)):
            raise
    else:
        login.succeeded()
