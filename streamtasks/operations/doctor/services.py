"""Managed services, recognised by what a server answers and refuses, never by its name in the network.

None of them can be started here: signs and limits are those of their documentation and of reports by their users. A
service that answers otherwise is reported as one that is not known, and its refusals are reported all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ...stores.survey_types import ServerSurvey

__all__ = ["SELF_MANAGED", "SERVICES", "UNKNOWN_SERVICE", "Service", "service_of"]


class Sign(NamedTuple):
    """Something in the answers of a server."""

    text: str
    is_seen: Callable[[ServerSurvey], bool]


class Service(NamedTuple):
    """A way to run a server.

    Attributes:
        key: its name in JSON; stable.
        name: its name for people.
        signs: all of them are seen on it.
        lacks: what streamtasks has to do without there.
        set_options_by: where its options are set; empty: by CONFIG SET and the configuration file.
        bills_commands: whether it bills for each command.
    """

    key: str
    name: str
    signs: tuple[Sign, ...] = ()
    lacks: tuple[str, ...] = ()
    set_options_by: str = ""
    bills_commands: bool = False


def _lacks(question: str) -> Sign:
    """Return the sign that the server itself does not answer a question, whatever the user's rights."""

    def is_seen(server: ServerSurvey) -> bool:
        refused = server.refusal(question)
        return refused is not None and not refused.by_acl and not refused.broke

    return Sign(f"{question} is refused", is_seen)


def _denies(question: str) -> Sign:
    def is_seen(server: ServerSurvey) -> bool:
        refused = server.refusal(question)
        return refused is not None and refused.by_acl

    return Sign(f"{question} is denied by its ACL", is_seen)


def _answers(question: str) -> Sign:
    return Sign(
        f"{question} is answered", lambda server: question in server.replies and server.refusal(question) is None
    )


def _info(name: str, *parts: str) -> Sign:
    """Return the sign that a field of INFO is there, and holds one of some parts."""

    def is_seen(server: ServerSurvey) -> bool:
        value = server.info.get(name)
        return value is not None and (not parts or any(part.lower() in value.lower() for part in parts))

    return Sign(f"INFO has {name}" + (f" with {' or '.join(parts)}" if parts else ""), is_seen)


def _either(*signs: Sign) -> Sign:
    return Sign(" or ".join(sign.text for sign in signs), lambda server: any(sign.is_seen(server) for sign in signs))


SERVICES: Final[tuple[Service, ...]] = (
    Service(
        "elasticache-serverless",
        "Amazon ElastiCache Serverless",
        (_lacks("4,000 arguments"), _lacks("script without keys")),
        (
            "commands with more than 3,999 arguments and keys (no call of streamtasks has more)",
            "scripts without keys, or with keys that they do not declare (no script of streamtasks has any)",
            "CONFIG, databases other than 0, WAIT for durability",
            "clients that listen and fall 32 MB behind are cut off",
        ),
        "the cache's settings",
        bills_commands=True,
    ),
    Service(
        "memorydb",
        "Amazon MemoryDB",
        (_info("os", "Amazon MemoryDB"), _lacks("CONFIG")),
        ("CONFIG, DEBUG, SAVE, BGREWRITEAOF, REPLICAOF", "ACL changes by command"),
        "the cluster's parameter group",
    ),
    Service(
        "elasticache",
        "Amazon ElastiCache, node based",
        (_info("os", "Amazon ElastiCache"), _lacks("CONFIG")),
        (
            "CONFIG, DEBUG, MIGRATE, REPLICAOF, SAVE, BGSAVE, SHUTDOWN",
            "an append-only file with several nodes: a failover may lose what was not replicated",
        ),
        "the cluster's parameter group",
    ),
    Service(
        "upstash",
        "Upstash",
        (_info("upstash_version"),),
        ("CONFIG, ROLE, WAITAOF", "each command is billed: see idle_poll"),
        "the database's page in its console",
        bills_commands=True,
    ),
    Service(
        "azure",
        "Azure Managed Redis or Azure Cache for Redis",
        (_info("os", "azure", "windows"), _either(_lacks("CONFIG"), _lacks("ROLE"))),
        (
            "CONFIG, MIGRATE, REPLICAOF, SAVE",
            "CLUSTER NODES, SLOTS and INFO with the Enterprise policy, although it has slots: use it as one server",
        ),
        "the cache's settings in the portal",
    ),
    Service(
        "aiven",
        "Aiven",
        (_lacks("CONFIG"), _lacks("COMMAND"), _lacks("ROLE")),
        ("ACL, CLUSTER, COMMAND, CONFIG, DEBUG, ROLE", "some commands inside scripts"),
        "the service's advanced configuration",
    ),
    Service(
        "memorystore",
        "Google Memorystore",
        (
            _either(
                Sign(
                    "CLIENT and CONFIG are refused",
                    lambda server: _lacks("CLIENT").is_seen(server) and _lacks("CONFIG").is_seen(server),
                ),
                Sign(
                    "CONFIG GET is denied, CONFIG HELP answered",
                    lambda server: _denies("CONFIG").is_seen(server) and _answers("CONFIG HELP").is_seen(server),
                ),
            ),
        ),
        ("CONFIG GET and SET, every command that is not on its list",),
        "the instance's configuration",
    ),
    Service(
        "redis-cloud",
        "Redis Cloud or Redis Software",
        (_lacks("ROLE"), _answers("ACL"), _answers("COMMAND")),
        (
            "ROLE, REPLICAOF, MIGRATE, SCRIPT DEBUG, XNACK",
            "WAIT in some plans: durability 'replicated' is refused there at the start",
            "CLUSTER without its OSS Cluster API",
        ),
        "the database's configuration",
    ),
)
"""In the order in which they are tried: the first whose signs are all seen is it."""

SELF_MANAGED: Final = Service("self-managed", "a server of your own")
UNKNOWN_SERVICE: Final = Service(
    "unknown", "a server whose operator keeps CONFIG to itself", set_options_by="its operator's settings"
)


def service_of(server: ServerSurvey, services: Sequence[Service] = SERVICES) -> Service:
    """Return what a server is, by its answers."""
    for service in services:
        if all(sign.is_seen(server) for sign in service.signs):
            return service
    return UNKNOWN_SERVICE if _lacks("CONFIG").is_seen(server) else SELF_MANAGED
