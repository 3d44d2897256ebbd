"""Classify errors: whether they pass, last or show the wrong server, and whether their connection is still usable."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from .sentinel_errors import NoMaster

__all__ = ["Course", "Fault", "fault_of"]


class Course(enum.Enum):
    """What becomes of an error."""

    PASSES = enum.auto()
    """The same call is sent again."""

    LASTS = enum.auto()
    """Repeating does not mend it."""

    WRONG_SERVER = enum.auto()
    """It passes on a new connection: the address may have moved to another server."""


class Fault(NamedTuple):
    """What an error means.

    Attributes:
        course: what becomes of it.
        spoils: whether the connection must be closed: it may owe a reply, or it leads to a server that cannot serve.
        refused: whether user, password or ACL are the reason.
        full: whether the server is out of memory.
        untrusted: whether TLS is the reason: a certificate, theirs or ours, or a server without TLS.
        spoils_idle: whether idle connections to the same address are in doubt as well.
        remaps: whether, in a Cluster, the shard may be elsewhere by now.
        brief: whether it passes soon: something runs long on a server that answers.
    """

    course: Course
    spoils: bool
    refused: bool = False
    full: bool = False
    untrusted: bool = False
    spoils_idle: bool = False
    remaps: bool = False
    brief: bool = False


_KEPT: Final = Fault(Course.PASSES, spoils=False, brief=True)
_MOVED: Final = Fault(Course.PASSES, spoils=False, remaps=True)
_BROKEN: Final = Fault(Course.PASSES, spoils=True, remaps=True)
_SILENT: Final = Fault(Course.PASSES, spoils=True, spoils_idle=True, remaps=True)
_WRONG: Final = Fault(Course.WRONG_SERVER, spoils=True, spoils_idle=True, remaps=True)
_REFUSED: Final = Fault(Course.LASTS, spoils=True, refused=True, spoils_idle=True)
_DENIED: Final = Fault(Course.LASTS, spoils=False, refused=True)
_UNTRUSTED: Final = Fault(Course.LASTS, spoils=True, untrusted=True)
_FULL: Final = Fault(Course.LASTS, spoils=False, full=True)
_LASTING: Final = Fault(Course.LASTS, spoils=False)
_FOREIGN: Final = Fault(Course.LASTS, spoils=True)

_BY_CODE: Final = {
    "BUSY": _KEPT,  # a script runs for long
    "TRYAGAIN": _KEPT,  # a slot is being moved
    "ASK": _KEPT,  # it is, and none of the keys is left here: to ask the other node now would end in TRYAGAIN
    "MOVED": _MOVED,
    "LOADING": _BROKEN,
    "READONLY": _WRONG,  # a replica: the master before a failover
    "MASTERDOWN": _WRONG,  # a replica that has lost its master
    "UNBLOCKED": _WRONG,  # a master that becomes a replica lets those go who wait, and closes their connections
    "CLUSTERDOWN": _WRONG,
    "NOREPLICAS": _WRONG,  # a master cut off from its replicas: another one may have been promoted
    "NOPERM": _DENIED,
    "NOAUTH": _REFUSED,
    "WRONGPASS": _REFUSED,
    "OOM": _FULL,
}
"""By the first word of an error reply."""

_CERTIFICATE_SIGNS: Final = (
    "CERTIFICATE_VERIFY_FAILED",
    "ALERT_UNKNOWN_CA",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE",
    "WRONG_VERSION_NUMBER",  # no TLS at all
)
"""In the texts of OpenSSL, which redis-py passes on."""

_DENIED_IN_SCRIPT: Final = ("ACL failure in script", "The user executing the script can't")
"""What servers say without the code NOPERM if a script may not do something; the second one: Redis 7.0."""

_NOT_LOGGED_IN: Final = "Protocol error: unauthenticated"
"""What servers say instead of NOAUTH to a command of more than ten words, and then close the connection."""

_CODES: Final = (
    (MovedError, "MOVED"),
    (AskError, "ASK"),
    (ReadOnlyError, "READONLY"),
    (MasterDownError, "MASTERDOWN"),
    (ClusterDownError, "CLUSTERDOWN"),
    (TryAgainError, "TRYAGAIN"),
    (OutOfMemoryError, "OOM"),
)


def fault_of(error: BaseException) -> Fault:
    """Return what an error of a call means, for its repetition and for its connection."""
    if isinstance(error, NoPermissionError):
        return _DENIED
    if isinstance(error, (AuthenticationError, AuthorizationError)):
        return _REFUSED
    if isinstance(error, ResponseError):
        if str(error).startswith(_DENIED_IN_SCRIPT):
            return _DENIED
        if str(error).startswith(_NOT_LOGGED_IN):
            return _REFUSED
        return _BY_CODE.get(_code(error), _FULL if "OOM" in str(error)[:80] else _LASTING)
    if isinstance(error, (RedisTimeoutError, TimeoutError)):
        return _SILENT  # a network that has lost its state has lost it for every connection
    if isinstance(error, NoMaster):
        return _BROKEN
    if isinstance(error, (RedisConnectionError, OSError)):
        text = str(error)
        if "invalid username-password" in text or "Authentication required" in text:
            return _REFUSED
        if any(sign in text for sign in _CERTIFICATE_SIGNS):
            return _UNTRUSTED
        return _BROKEN  # also EMFILE and ENFILE: the next try needs a descriptor, and may get one
    return _FOREIGN


def _code(error: ResponseError) -> str:
    """Return the first word of an error reply; redis-py may take it off the texts of those that it has a class for."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return str(error).partition(" ")[0]
