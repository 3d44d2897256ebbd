"""What goes wrong between Sentinels and a connection, as errors of redis-py's tree, so that `faults` can tell them."""

from __future__ import annotations

from redis.exceptions import AuthenticationError, ReadOnlyError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

__all__ = ["MasterChanged", "NoMaster", "NotMaster", "SentinelsRefuse", "ServiceUnknown"]


class NoMaster(RedisConnectionError):
    """Raised when no Sentinel names a master that can be reached; it may pass."""


class NotMaster(ReadOnlyError):
    """Raised when every server that Sentinels name as the master is a replica; it may pass."""


class MasterChanged(RedisConnectionError):
    """Raised on a connection to a server that is not the master any more, so that it is replaced."""


class ServiceUnknown(RedisError):
    """Raised when Sentinels answer and none of them knows the service."""


class SentinelsRefuse(AuthenticationError):
    """Raised when every Sentinel that can be reached refuses the user or the password."""
