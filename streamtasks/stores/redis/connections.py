"""Make connections, and say what is raised for their errors.

redis-py must not retry anything: it would repeat any write, and only the scripts are safe to repeat. So every
connection is made without retries, and the drivers retry until a deadline.
"""

from __future__ import annotations

import time
from typing import Final

import redis
import redis.asyncio
from redis.exceptions import BusyLoadingError, MovedError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from ...exceptions import (
    AccessDenied,
    ConfigurationError,
    StoreError,
    StoreFull,
    StoreUnavailable,
    UnknownService,
    UntrustedServer,
)
from ...settings import StoreSettings
from ..backoff import Backoff
from .addresses import connection_problem, uses_tls
from .endpoints import endpoint_of
from .faults import Course, Fault, fault_of
from .sentinel_errors import SentinelsRefuse, ServiceUnknown

__all__ = [
    "Patience",
    "address",
    "check_options",
    "is_cut_off",
    "lasting_error",
    "new_async_connection",
    "new_connection",
    "note_server",
    "tls_hint",
    "unavailable",
]

_CUT_OFF_SIGNS: Final = ("closed by server", "reset by peer", "Broken pipe", "Connection lost")
"""In the texts of redis-py, of the system, and of asyncio where more is written to a connection that was closed."""


def address(settings: StoreSettings) -> str:
    """Return ``host:port`` (or the path of the socket, or what knows the masters) for messages; never a password."""
    return settings.shown_url if settings.is_cluster else endpoint_of(settings).address


def note_server(error: BaseException, server: str) -> None:
    """Note on an error which server of a Cluster it came from, for messages."""
    error.streamtasks_server = server  # type: ignore[attr-defined]


def _where(error: BaseException, settings: StoreSettings) -> str:
    server: str = getattr(error, "streamtasks_server", "")
    return f"{server} (a node of {address(settings)})" if server else address(settings)


def new_connection(settings: StoreSettings) -> redis.Connection:
    """Return one connection of its own, not yet connected, with no retries."""
    return endpoint_of(settings).connection()


def new_async_connection(settings: StoreSettings) -> redis.asyncio.Connection:
    """Return the same for event loops."""
    return endpoint_of(settings).async_connection()


def check_options(settings: StoreSettings) -> None:
    """Check that connections can be made with these settings; none is opened.

    Raises:
        ConfigurationError: the URL or an option is wrong.
    """
    try:
        new_connection(settings)
    except TypeError as error:
        raise ConfigurationError(f"connection: {error}") from error


def lasting_error(error: Exception, settings: StoreSettings) -> Exception | None:
    """Return what to raise for an error that repeating does not mend; None for one that may pass."""
    fault = fault_of(error)
    if fault.course is not Course.LASTS:
        problem = connection_problem(settings) if isinstance(error, (RedisConnectionError, OSError)) else ""
        return UntrustedServer(f"{_where(error, settings)}: {problem}.") if problem else None
    where = _where(error, settings)
    if isinstance(error, ServiceUnknown):
        return UnknownService(f"{error}: it stands in url, or in service_name of a Django backend.")
    if isinstance(error, SentinelsRefuse):
        return AccessDenied(
            f"No Sentinel lets us in: {error}. Check username and password in sentinel_connection, and the ACL there."
        )
    if fault.untrusted:
        return UntrustedServer(f"{where}: {error}. {_tls_remedy(str(error))}")
    if fault.refused:
        return AccessDenied(f"{where} refuses us: {str(error).removesuffix('.')}. {_access_remedy(fault)}")
    if fault.full:
        return StoreFull(f"{where} is out of memory: {error}. Nothing was stored.")
    if isinstance(error, RedisError):
        return StoreError(f"{where} answered: {error}")
    return error


def _access_remedy(fault: Fault) -> str:
    """Return what to do about a login or a command that was refused."""
    if fault.spoils:
        return "Check user, password and ACL."
    return "Check user, password and ACL: `streamtasks acl --role worker` (or producer, monitor) prints what it needs."


def _tls_remedy(text: str) -> str:
    """Return what to do about a certificate that was not accepted."""
    if "ALERT" in text:
        return "The server does not accept our certificate: check ssl_certfile and ssl_keyfile."
    if "WRONG_VERSION_NUMBER" in text:
        return "The server does not speak TLS at this port: name its TLS port, or use redis:// (without TLS)."
    if "expired" in text or "not yet valid" in text:
        return "Renew the server's certificate, or set the clock of this machine right."
    if "ostname" in text or "IP address" in text:
        return "Connect by a name that stands in the server's certificate, or have one issued for this name."
    return "Name the file of the authority that issued the server's certificate: ssl_ca_certs."


def is_cut_off(error: Exception) -> bool:
    """Whether the other end has closed a connection instead of answering: so does a TLS port if no TLS is spoken."""
    return isinstance(error, (RedisConnectionError, OSError)) and any(sign in str(error) for sign in _CUT_OFF_SIGNS)


def hides_refusal(settings: StoreSettings, error: Exception) -> bool:
    """Whether another try may say more: who refuses our certificate says so, and closes before that may be read."""
    return uses_tls(settings) and is_cut_off(error)


def tls_hint(settings: StoreSettings, error: Exception, *, cut_off: bool) -> str:
    """Return the question whether TLS is what is wrong, ``""`` if nothing looks like that.

    ``cut_off``: see `is_cut_off`; of every try.
    """
    if uses_tls(settings):
        return " (does it speak TLS at this port?)" if "Timeout connecting" in str(error) else ""
    return " (is it a TLS port? Then the URL must begin with rediss)" if cut_off else ""


def unavailable(
    settings: StoreSettings, error: Exception, after_s: float | None = None, *, cut_off: bool = False
) -> StoreUnavailable:
    """Return the error for a store that did not answer for ``after_s`` seconds (None: the settings' ``timeout_s``).

    ``cut_off``: whether each try ended so, see `is_cut_off`.
    """
    seconds = settings.timeout_s if after_s is None else after_s
    how_long = f"in {seconds:g} s" if seconds else "at the first try"
    hint = tls_hint(settings, error, cut_off=cut_off)
    what = str(error)
    if isinstance(error, MovedError):
        what = f"slot {error.slot_id} is at {error.node_addr[0]}:{error.node_addr[1]}"
        if not settings.is_cluster:
            what += "; it is a node of a Cluster, whose URL begins with redis+cluster://"
    elif isinstance(error, ReadOnlyError):
        finds_master = settings.is_cluster or settings.is_sentinel
        what = "it is a replica" + ("" if finds_master else ", which takes no tasks: name its master in the URL")
    raised = StoreUnavailable(f"no answer from the store at {_where(error, settings)} {how_long}: {what}{hint}")
    raised.reached = isinstance(error, (ResponseError, BusyLoadingError))
    return raised


class Patience:
    """One call's tries: how long to wait after each that failed, and when to give up.

    The waits are jittered and double from 20 ms to 1 s; with Sentinels to 0.5 s, since nobody tells when a failover
    ends; to 40 ms while a slot is being moved or a script runs long. The first is none at all: an idle connection may
    have died long ago, and a new one is made then.

    Args:
        settings: of the store.
        seconds: how long to try; None: ``timeout_s``.
        since: when the call began, `time.monotonic`; None: now.
    """

    def __init__(self, settings: StoreSettings, seconds: float | None = None, since: float | None = None) -> None:
        self._settings = settings
        self._seconds = settings.timeout_s if seconds is None else seconds
        self._deadline = (time.monotonic() if since is None else since) + self._seconds
        self._backoff = Backoff(0.02, 0.5 if settings.is_sentinel else 1.0, at_once=1)
        self._brief = Backoff(0.02, 0.04, at_once=1)
        self._logged_in_again = False
        self._cut_off = True

    def delay_s(self, error: Exception) -> float:
        """Return how long to wait before the next try, seconds.

        Raises:
            StoreError: this error does not pass, or not in time.
        """
        lasting = lasting_error(error, self._settings)
        if lasting is not None:
            fault = fault_of(error)
            if fault.refused and fault.spoils and not self._logged_in_again:
                # Once: the password may have been replaced since that connection was made, or just now.
                self._logged_in_again = True
                return 0.0
            raise lasting from error
        self._cut_off = self._cut_off and is_cut_off(error)
        delay = (self._brief if fault_of(error).brief else self._backoff).next_s()
        if not self._seconds or time.monotonic() + delay > self._deadline:
            raise unavailable(self._settings, error, self._seconds, cut_off=self._cut_off) from error
        return delay
