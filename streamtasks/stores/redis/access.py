"""What users of a server must be allowed to do: the commands of each role, and the ACL rules that follow.

Who calls a script, and what it calls, is read from the script itself; another command that is missing here fails
`tests/core/test_access.py`.
"""

from __future__ import annotations

import enum
import re
from typing import Final, NamedTuple

import streamtasks_lua

from ...protocol.keys import check_prefix

__all__ = [
    "DIRECT",
    "NEWEST",
    "SENTINEL",
    "UNPRIVILEGED",
    "Command",
    "UserRole",
    "allowed_commands",
    "patterns",
    "role_of",
    "rules",
    "sentinel_rules",
]

NEWEST: Final = (7, 2)
"""The version of which rules are made unless another one is named: Redis 7.2, Valkey 8 and later know all of them."""


class UserRole(enum.IntEnum):
    """What a user of the server is for. Each may do what those above it may."""

    MONITOR = 1
    """Reads: tasks, results, queues, workers, schedules, dead letters, events."""

    PRODUCER = 2
    """Enqueues, revokes, waits for results, deletes results, manages schedules: web processes, scripts."""

    WORKER = 3
    """Runs tasks."""


class Command(NamedTuple):
    """A command that is sent as it is, outside of scripts.

    Attributes:
        name: as ACL rules name it, ``container|subcommand`` with a subcommand.
        role: the least role that needs it.
        why: what for.
        since: the first version of the server that knows it; rules for older ones leave it out.
    """

    name: str
    role: UserRole
    why: str
    since: tuple[int, int] = (7, 0)


DIRECT: Final = (
    Command("evalsha", UserRole.MONITOR, "every call of a script"),
    Command("script|load", UserRole.MONITOR, "scripts that the server does not know yet"),
    Command("ping", UserRole.MONITOR, "whether a silent subscription is alive"),
    Command("ssubscribe", UserRole.MONITOR, "pushes of outcomes and progress; control messages of keepers"),
    Command("sunsubscribe", UserRole.MONITOR, "the same connection goes back to its pool"),
    Command("select", UserRole.MONITOR, "a database other than 0"),
    Command("client|setname", UserRole.MONITOR, "client_name in connection"),
    Command("client|setinfo", UserRole.MONITOR, "redis-py names itself; it does without", (7, 2)),
    Command("cluster|slots", UserRole.MONITOR, "a Cluster: where its shards are"),
    Command("asking", UserRole.MONITOR, "a Cluster: a slot that is being moved"),
    Command("info", UserRole.MONITOR, "checks at start, replicas for durability; the only one of @dangerous"),
    Command("lrange", UserRole.MONITOR, "the tags of all shards, if they are noted"),
    Command("exists", UserRole.MONITOR, "streamtasks doctor"),
    Command("hgetall", UserRole.MONITOR, "streamtasks doctor"),
    Command("xlen", UserRole.MONITOR, "streamtasks doctor"),
    Command("xpending", UserRole.MONITOR, "streamtasks doctor"),
    Command("zcount", UserRole.MONITOR, "streamtasks doctor"),
    Command("wait", UserRole.PRODUCER, "durability 'replicated'"),
    Command("waitaof", UserRole.PRODUCER, "durability 'aof'", (7, 2)),
    Command("blpop", UserRole.WORKER, "a child that waits for work"),
)
"""Every other command of a connection to a server."""

UNPRIVILEGED: Final = {
    "auth": "allowed to everybody",
    "hello": "allowed to everybody",
    "config|get": "asked for a warning at start; it does without",
    "unlink": "sent by streamtasks bench, which says so if it may not",
    **dict.fromkeys(
        (
            "acl|dryrun",
            "acl|whoami",
            "client|getname",
            "cluster|info",
            "command|count",
            "config|help",
            "eval",
            "role",
            "scan",
        ),
        "asked by streamtasks doctor, which does without",
    ),
}
"""Commands that are sent although no role's rules allow them, and why that does no harm."""

SENTINEL: Final = (
    Command("sentinel|get-master-addr-by-name", UserRole.MONITOR, "where the master is"),
    Command("sentinel|master", UserRole.MONITOR, "how old its configuration is, and how many replicas there are"),
    Command("sentinel|masters", UserRole.MONITOR, "names of services, for an error that names them"),
    Command("sentinel|replicas", UserRole.MONITOR, "which replicas are away, for durability"),
    Command("subscribe", UserRole.MONITOR, "announcements of a new master"),
    Command("client|setname", UserRole.MONITOR, "client_name in sentinel_connection"),
    Command("client|setinfo", UserRole.MONITOR, "redis-py names itself; it does without", (7, 2)),
)
"""Every command of a connection to a Sentinel; the same for all roles."""

SENTINEL_CHANNEL: Final = "+switch-master"

_NOTHING: Final = ("resetkeys", "resetchannels", "clearselectors", "-@all")
"""Rules that take away all that a user was allowed."""


def role_of(script: str) -> UserRole:
    """Return the least role that calls a script, by its header."""
    return UserRole[streamtasks_lua.load(script).role.upper()]


def allowed_commands(role: UserRole, server: tuple[int, int] = NEWEST) -> list[str]:
    """Return the commands that a role needs on a server of a version, sorted, as ACL rules name them."""
    found = {command.name for command in DIRECT if command.role <= role and command.since <= server}
    for name in streamtasks_lua.names():
        if role_of(name) <= role:
            found.update(streamtasks_lua.commands(name))
    return sorted(found)


def patterns(prefix: str) -> list[str]:
    """Return the rules for keys and channels: those of exactly this prefix, in all shards.

    A key is the prefix, a brace and so on, and no prefix has a brace. So ``streamtasks:`` does not include
    ``streamtasks:emails:``.

    Raises:
        ConfigurationError: it cannot be a prefix.
    """
    literal = re.sub(r"([\\*?\[\]])", r"\\\1", check_prefix(prefix))
    return [f"~{literal}{{*", f"&{literal}{{*"]


def rules(role: UserRole, prefix: str, server: tuple[int, int] = NEWEST) -> list[str]:
    """Return the ACL rules of a user of a role, but for ``on`` and passwords; earlier rules of the user are undone.

    Args:
        role: what the user is for.
        prefix: ``key_prefix`` of the settings.
        server: the version of Redis; 7.2 stands for every Valkey.

    Raises:
        ConfigurationError: the prefix cannot be one.
    """
    commands = [f"+{name}" for name in allowed_commands(role, server)]
    return [*_NOTHING, *patterns(prefix), *commands]


def sentinel_rules(server: tuple[int, int] = NEWEST) -> list[str]:
    """Return the ACL rules of a user of Sentinels, the same for all roles; ``server``: see `rules`."""
    commands = [f"+{command.name}" for command in SENTINEL if command.since <= server]
    return [*_NOTHING, f"&{SENTINEL_CHANNEL}", *commands]
