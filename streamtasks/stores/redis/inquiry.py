"""A connection on which a question that is refused, or ends the connection, is answered by a value."""

from __future__ import annotations

from typing import Any, Self

from redis.exceptions import MovedError, NoPermissionError, RedisError, ResponseError

from ...settings import StoreSettings
from ..survey_types import Refused
from . import connections
from .faults import fault_of

__all__ = ["Inquiry", "decoded", "pairs"]


class Inquiry:
    """Sends one command after the other; a context manager.

    Raises:
        StoreUnavailable: the server cannot be reached.
        AccessDenied, UntrustedServer, UnknownService: it lets nobody in with these settings.
    """

    def __init__(self, connection: Any, settings: StoreSettings) -> None:
        self._connection = connection
        self._settings = settings

    def __enter__(self) -> Self:
        self._connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.disconnect()

    def _connect(self) -> None:
        try:
            self._connection.connect()
        except (RedisError, OSError) as error:
            self._connection.disconnect()
            lasting = connections.lasting_error(error, self._settings)
            cut_off = connections.is_cut_off(error)
            raise lasting or connections.unavailable(self._settings, error, 0, cut_off=cut_off) from error

    def ask(self, *words: Any) -> Any:
        """Send a command; return its reply with text instead of bytes, or `Refused`."""
        if self._connection._sock is None:
            self._connect()
        try:
            self._connection.send_command(*words, check_health=False)
            return decoded(self._connection.read_response())
        except ResponseError as error:
            return _refused(error)
        except (RedisError, OSError) as error:
            # Some proxies of services close the connection instead of answering with an error.
            self._connection.disconnect()
            if fault_of(error).refused:
                return _refused(error)
            return Refused(f"the connection broke: {_text(error) or type(error).__name__}", broke=True)

    @property
    def socket(self) -> Any:
        """The socket; None: it is closed."""
        return self._connection._sock


def _refused(error: Exception) -> Refused:
    if isinstance(error, MovedError):
        return Refused(f"slot {error.slot_id} is at {error.node_addr[0]}:{error.node_addr[1]}", moved=True)
    return Refused(_text(error), isinstance(error, NoPermissionError))


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def decoded(reply: Any) -> Any:
    """Return a reply with text instead of bytes."""
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "replace")
    if isinstance(reply, list):
        return [decoded(one) for one in reply]
    if isinstance(reply, Exception):
        return _refused(reply)
    return reply


def pairs(reply: Any) -> dict[str, Any]:
    """Return a flat list of names and values as a dict; empty if it is none."""
    if not isinstance(reply, list):
        return {}
    return {str(name): value for name, value in zip(reply[::2], reply[1::2], strict=False)}
