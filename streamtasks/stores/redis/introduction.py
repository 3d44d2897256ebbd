"""Describe the server that a worker serves, for the log of its start."""

from __future__ import annotations

from typing import Any

from redis.exceptions import RedisError

from ...exceptions import StreamTasksError
from ...settings import StoreSettings
from . import connections
from .checks import field
from .cluster.masters import masters_of
from .inquiry import Inquiry

__all__ = ["introduce"]


def introduce(settings: StoreSettings) -> str:
    """Return version, role and persistence of a server in words; of a Cluster, those of one master. Never raises."""
    try:
        one = settings
        if settings.is_cluster:
            masters = masters_of(settings)
            masters.refresh()
            one = masters.of(settings.tags[0])
        with Inquiry(connections.new_connection(one), one) as inquiry:
            return _words(inquiry.ask("INFO"))
    except (StreamTasksError, RedisError, OSError) as error:
        return f"it cannot be reached now ({type(error).__name__})"


def _words(info: Any) -> str:
    if not isinstance(info, str):
        return "its user may not send INFO"
    version = field(info, "valkey_version")
    name = f"Valkey {version}" if version else f"Redis {field(info, 'redis_version')}"
    role = "replica" if field(info, "role") == "slave" else field(info, "role") or "master"
    log = "append-only file" if field(info, "aof_enabled") == "1" else "no append-only file"
    mode = field(info, "redis_mode") or field(info, "server_mode")
    return ", ".join(part for part in (name, mode, role, log) if part)
