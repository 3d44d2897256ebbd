"""Look at a server before serving it: a worker refuses one on which tasks could be lost."""

from __future__ import annotations

import logging
import re
from typing import Any

from redis.exceptions import RedisError

from ...exceptions import ServerNotSupported
from ...settings import StoreSettings
from . import connections

__all__ = ["check_server"]

logger = logging.getLogger("streamtasks.store")


def check_server(settings: StoreSettings) -> None:
    """Check version and eviction policy.

    A server that cannot be reached is no reason to refuse: the worker waits for it.

    Raises:
        ServerNotSupported: it is older than Redis 7.0, or may evict keys.
        AccessDenied: user or password are wrong.
    """
    where = connections.address(settings)
    connection: Any = connections.new_connection(settings)
    try:
        connection.connect()
        info = _ask(connection, "INFO", "server")
        memory = _ask(connection, "INFO", "memory")
    except (RedisError, OSError) as error:
        lasting = connections.lasting_error(error, settings)
        if lasting is not None:
            raise lasting from error
        logger.warning("%s cannot be reached (%s); the worker waits for it", where, error)
        return
    finally:
        connection.disconnect()
    version = _field(info, "redis_version")
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < (7, 0):
        raise ServerNotSupported(f"{where} runs version {version}; streamtasks needs Redis 7.0 or Valkey 8 or later.")
    policy = _field(memory, "maxmemory_policy")
    if policy != "noeviction":
        raise ServerNotSupported(
            f"{where} has maxmemory-policy {policy!r} and may throw tasks away when memory is short. "
            "Set it to noeviction: CONFIG SET maxmemory-policy noeviction, and the same in its configuration file."
        )


def _ask(connection: Any, *words: str) -> str:
    connection.send_command(*words)
    return bytes(connection.read_response()).decode()


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{name}:(.*?)\r?$", text, re.MULTILINE)
    return found.group(1) if found else ""
