"""Look at the replicas that Sentinels or a Cluster may promote: after that they are the masters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from redis.exceptions import RedisError

from ...settings import StoreSettings
from . import connections
from .checks import field, server_info
from .cluster.masters import masters_of
from .faults import fault_of
from .nodes import Node, alone

__all__ = ["check_replicas"]

_REPLICA: Final = re.compile(r"^slave\d+:ip=(.*?),port=(\d+)", re.MULTILINE)
_FIELDS: Final = {"memory": ("maxmemory", "maxmemory_policy"), "persistence": ("aof_enabled",)}


def check_replicas(settings: StoreSettings) -> list[str]:
    """Return what would be worse if a replica became the master: it refuses us, or is set up otherwise.

    Nothing without Sentinels and Cluster: there, nobody promotes a replica without changing the settings. Nothing
    either of a master that cannot be reached, or does not let us ask: `check_server` says so.
    """
    found: list[str] = []
    with suppress(RedisError, OSError):
        for master in _masters(settings):
            with suppress(RedisError, OSError):
                found += _check(settings, master)
    return found


def _masters(settings: StoreSettings) -> list[StoreSettings]:
    if not settings.is_cluster:
        return [settings] if settings.is_sentinel else []
    masters = masters_of(settings)
    masters.refresh()
    return sorted(masters.each(), key=lambda master: master.url)


def _check(settings: StoreSettings, master: StoreSettings) -> Iterator[str]:
    of, replication = _asked(master, "replication")
    where = connections.address(master)
    for host, port in _REPLICA.findall(replication):
        node = Node(host, int(port))
        shown = f"replica {node} of {where}"
        try:
            its, _ = _asked(alone(settings, node))
        except (RedisError, OSError) as error:
            if fault_of(error).refused:
                yield (
                    f"{shown} refuses us ({error}), and will when it is the master: users are not replicated, so give "
                    "it the same ones (ACL SETUSER, or users.acl) and passwords"
                )
            else:
                yield f"{shown} cannot be reached from here ({error}), and could not be as the master"
        else:
            yield from _differences(shown, its, of)


def _asked(settings: StoreSettings, more: str = "") -> tuple[dict[str, str], str]:
    """Return what a server says of its memory and files, and another section of INFO."""
    connection: Any = connections.new_connection(settings)
    try:
        connection.connect()
        found: dict[str, str] = {}
        for section, names in _FIELDS.items():
            text = server_info(connection, section)
            found |= {name: field(text, name) for name in names}
        return found, server_info(connection, more) if more else ""
    finally:
        connection.disconnect()


def _differences(shown: str, its: Mapping[str, str], of: Mapping[str, str]) -> Iterator[str]:
    if its["maxmemory_policy"] != "noeviction":
        yield (
            f"{shown} has maxmemory-policy {its['maxmemory_policy']!r}: as the master it may throw tasks away. Set it "
            "to noeviction there, too"
        )
    most, of_master = int(its["maxmemory"] or 0), int(of["maxmemory"] or 0)
    if most and (most < of_master or not of_master):
        yield (
            f"{shown} has maxmemory {most}, its master {of_master or 'no limit'}: as the master it may be full with "
            "what is queued now. Give both the same"
        )
    if its["aof_enabled"] == "0" != of["aof_enabled"]:
        yield (
            f"{shown} has appendonly off, unlike its master: after a failover, a restart loses tasks. Switch it on "
            "there, too"
        )
