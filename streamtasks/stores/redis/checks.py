"""Look at a server before serving it: a worker refuses one on which tasks could be lost without notice."""

from __future__ import annotations

import re
from typing import Any

from redis.exceptions import RedisError, ResponseError

from ...exceptions import ServerNotSupported
from ...protocol.durability import MEMORY
from ...protocol.keys import Keys
from ...settings import StoreSettings
from ..survey_types import Refused
from . import connections
from .addresses import not_verified
from .endpoints import endpoint_of
from .inquiry import Inquiry
from .operations import durable
from .replica_count import ReplicaCount
from .rights import missing_of_worker
from .scripts import Answer, Behind
from .sentinel.connections import ask

__all__ = ["TRIES", "check_server", "field", "sentinel_warnings", "server_info"]

TRIES = 5
"""So often is connected to a server that closes the connection as one does that wants another certificate."""


def check_server(settings: StoreSettings, *, runs_tasks: bool = False, tag: str = "") -> list[str]:
    """Check version, eviction policy, persistence, role and durability; return what the operator has to know.

    ``runs_tasks``: check as well that the user may do what a worker does. ``tag``: of a shard that this master of a
    Cluster has; empty: it is one server, which has all.

    A server that cannot be reached is no reason to refuse: the worker waits for it. Nor is a user that may not ask:
    what could not be checked is named.

    Raises:
        ServerNotSupported: it is older than Redis 7.0, may evict keys, or cannot give the durability of the settings.
        AccessDenied: user or password are wrong, or this user may not ask for that durability.
        UntrustedServer: a certificate is not accepted.
        UnknownService: Sentinels do not know the service.
    """
    for more_tries in reversed(range(TRIES)):
        try:
            return _look(settings, runs_tasks=runs_tasks, tag=tag)
        except (RedisError, OSError) as error:
            lasting = connections.lasting_error(error, settings)
            if lasting is not None:
                raise lasting from error
            if more_tries and connections.hides_refusal(settings, error):
                continue
            hint = connections.tls_hint(settings, error, cut_off=connections.is_cut_off(error))
            return [f"{connections.address(settings)} cannot be reached ({error}){hint}; the worker waits for it"]
    raise AssertionError("the last try has returned")


def _look(settings: StoreSettings, *, runs_tasks: bool, tag: str) -> list[str]:
    """Connect, and check what is there, see `check_server`."""
    connection: Any = connections.new_connection(settings)
    try:
        connection.connect()
        warnings = [
            f"{what}; anybody in between can read and change everything. Name the authority in ssl_ca_certs instead"
            for what in not_verified(settings)
        ] + sentinel_warnings(settings)
        found, is_master = _check(connection, connections.address(settings))
        if is_master and settings.durability != MEMORY:
            _durability(connection, settings)
        inquiry, where = Inquiry(connection, settings), connections.address(settings)
        keys = Keys(settings.key_prefix, tag or settings.tags[0])
        if not tag:
            found += _part_of_cluster(inquiry, keys, where)
        if is_master and runs_tasks:
            found += missing_of_worker(inquiry, keys, where, settings.key_prefix)
        return warnings + found
    finally:
        connection.disconnect()


def _part_of_cluster(inquiry: Inquiry, keys: Keys, where: str) -> list[str]:
    """Return a warning if what is named as a server is a node of a Cluster that has not the shard."""
    answer = inquiry.ask("EXISTS", keys.touched)
    if not (isinstance(answer, Refused) and answer.moved):
        return []
    remedy = "begin the URL with redis+cluster://; the worker tries until then"
    return [f"{where} is a node of a Cluster, and {answer.text}: {remedy}"]


def sentinel_warnings(settings: StoreSettings) -> list[str]:
    """Return what is wrong with Sentinels that were not needed to find the master."""
    search = endpoint_of(settings).search
    if search is None:
        return []
    warnings = []
    for sentinel in search.address.sentinels:
        try:
            named = ask(search.address, sentinel).master
        except (RedisError, OSError) as error:
            warnings.append(f"Sentinel {sentinel} is of no use now: {error}")
        else:
            if named != search.master:
                warnings.append(f"Sentinel {sentinel} names {named} as the master, others {search.master}")
    return warnings


def _durability(connection: Any, settings: StoreSettings) -> None:
    """Check that the server can give the durability of the settings; what is asked at first use is asked here, too."""
    replies: list[Any] = []
    for command in (durable.INFO, durable.PROBES[settings.durability]):
        try:
            replies.append(_ask(connection, *command))
        except ResponseError as error:
            replies.append(error)
    where = connections.address(settings)
    answer = Answer(where, Behind([]), replies, getattr(connection, "changes", 0))
    durable.check_replies(settings, where, ReplicaCount(), settings.durability, answer)


def _check(connection: Any, where: str) -> tuple[list[str], bool]:
    """Return warnings, and whether it is a master."""
    warnings = []
    try:
        info = {
            section: server_info(connection, section) for section in ("server", "memory", "persistence", "replication")
        }
    except ResponseError as error:
        warnings.append(
            f"{where} does not answer INFO ({error}): eviction policy and persistence could not be checked. Allow it "
            "to this user (ACL SETUSER ... +info), or check that maxmemory-policy is noeviction and appendonly is on"
        )
        hello = _hello(connection)
        version, role, master = hello.get("version", ""), hello.get("role", ""), ""
    else:
        version, role = field(info["server"], "redis_version"), field(info["replication"], "role")
        master = f" of {field(info['replication'], 'master_host')}:{field(info['replication'], 'master_port')}"
        policy = field(info["memory"], "maxmemory_policy")
        if policy != "noeviction":
            raise ServerNotSupported(
                f"{where} has maxmemory-policy {policy!r} and may throw tasks away when memory is short. "
                "Set it to noeviction: CONFIG SET maxmemory-policy noeviction, and the same in its configuration file."
            )
        if field(info["persistence"], "aof_enabled") == "0":
            warnings.append(_without_log(connection, where))
    if version and tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < (7, 0):
        raise ServerNotSupported(f"{where} runs version {version}; streamtasks needs Redis 7.0 or Valkey 8 or later.")
    is_replica = role in ("slave", "replica")
    if is_replica:
        warnings.append(f"{where} is a replica{master} and takes no tasks: name its master in the URL")
    return warnings, not is_replica


def _without_log(connection: Any, where: str) -> str:
    """Return what a restart loses of a server that has appendonly off."""
    lost = "what came since its last snapshot is lost when it restarts, and everything if it makes none"
    try:
        snapshots = _ask(connection, "CONFIG", "GET", "save")[1]
    except (ResponseError, IndexError):
        pass  # managed servers keep CONFIG to themselves
    else:
        lost = (
            "what came since its last snapshot is lost when it restarts" if snapshots else "a restart loses all tasks"
        )
    return (
        f"{where} has appendonly off: {lost}. Switch it on: CONFIG SET appendonly yes, and the same in its "
        "configuration file"
    )


def server_info(connection: Any, section: str) -> str:
    """Return a section of INFO."""
    return bytes(_ask(connection, "INFO", section)).decode()


def _hello(connection: Any) -> dict[str, str]:
    """Return what any user may know of a server."""
    words = _ask(connection, "HELLO", "2")
    texts = [word.decode() if isinstance(word, bytes) else str(word) for word in words]
    return dict(zip(texts[::2], texts[1::2], strict=False))


def _ask(connection: Any, *words: Any) -> Any:
    connection.send_command(*words)
    return connection.read_response()


def field(text: str, name: str) -> str:
    """Return a field of a section of INFO, empty if it is not there."""
    found = re.search(rf"^{name}:(.*?)\r?$", text, re.MULTILINE)
    return found.group(1) if found else ""
