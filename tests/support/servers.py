"""The real servers that tests run on: found, started and stopped here, always on free ports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Any, Self

import pytest
import redis
from redis.cluster import RedisCluster
from redis.crc import key_slot
from redis.sentinel import Sentinel

from streamtasks import StoreSettings
from streamtasks.protocol.keys import Keys
from streamtasks.stores.memory import MemoryServer
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.failure_logs import show_log
from tests.support.sql_stores import change_states, empty
from tests.support.waiting import DEADLINE_S, wait_until

REDIS_VARIABLE = "STREAMTASKS_REDIS_SERVER"
SLOTS = 16384


def find_redis() -> str | None:
    """Return the path of a redis-server >= 7.0, named by the environment or on the path; None if there is none."""
    named = os.environ.get(REDIS_VARIABLE)
    path = shutil.which(named or "redis-server")
    if path is None:
        if named:
            raise FileNotFoundError(f"{REDIS_VARIABLE} names {named!r}, which is no program")
        return None
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=DEADLINE_S).stdout
    found = re.search(r"v=(\d+)\.", version)
    return path if found and int(found[1]) >= 7 else None


def server_kinds() -> list[str]:
    """Return the kinds of server that can be started here."""
    return ["valkey", "redis"] if find_redis() else ["valkey"]


def start_server(kind: str, *, append_only: bool = False) -> EmbeddedServer:
    """Start a server of a kind; the caller stops it."""
    server = EmbeddedServer(find_redis() if kind == "redis" else None, append_only=append_only)
    server.start()
    show_log(kind, server.directory / "server.log", lasting=True)
    return server


def has_waitaof(client: redis.Redis) -> bool:
    """Whether a server can wait for append-only files: Redis 7.0 cannot."""
    found: Any = client.execute_command("COMMAND INFO", "WAITAOF")
    return bool(found[0])


def skip_without_waitaof(client: redis.Redis) -> None:
    """Leave a test out, which needs a server that waits for files, if it is told to run on an older one."""
    if not has_waitaof(client):
        pytest.skip("this server is Redis 7.0, which has no WAITAOF")


def silence(settings: StoreSettings, worker: str, silent_ms: int, tag: str = "u0") -> None:
    """Have a worker's last sign of life be so long ago, ms."""
    if settings.is_memory:
        workers = MemoryServer.at(settings.url).shard(settings, tag).workers
        beat_ms, about = workers[worker]
        workers[worker] = (beat_ms - silent_ms, about)
        return
    if settings.is_sql:
        change_states(settings, [f"worker:{worker}"], lambda beat: (beat[0] - silent_ms, beat[1]))
        return
    with redis.Redis.from_url(settings.url) as client:
        client.zincrby(Keys(settings.key_prefix, tag).workers, -silent_ms, worker)


class Cluster:
    """A Cluster; a context manager.

    Args:
        masters: how many.
        replicas: give each master a replica.
        append_only: see `EmbeddedServer`.
        arguments: more of the servers' own.
    """

    def __init__(
        self, masters: int = 3, *, replicas: bool = False, append_only: bool = False, arguments: tuple[str, ...] = ()
    ) -> None:
        arguments = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", *arguments)
        arguments += ("--repl-diskless-sync-delay", "0")  # replicas are there at once, not after five seconds
        self.nodes = [EmbeddedServer(append_only=append_only, extra_args=arguments) for _ in range(masters)]
        self.replicas = [EmbeddedServer(extra_args=arguments) for _ in range(masters if replicas else 0)]

    def __enter__(self) -> Self:
        try:
            for node in (*self.nodes, *self.replicas):
                node.start()
            self._join()
            self._replicate()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The URL of the first node, from which a client finds the others."""
        return self.nodes[0].url

    def _join(self) -> None:
        clients = [redis.Redis.from_url(node.url, decode_responses=True) for node in self.nodes]
        share = SLOTS / len(clients)
        try:
            for i, client in enumerate(clients):
                client.execute_command("CLUSTER ADDSLOTSRANGE", int(i * share), int((i + 1) * share) - 1)
                # Different epochs from the start: no two nodes have to argue about theirs.
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", i + 1)
            for node in self.nodes[1:]:
                clients[0].execute_command("CLUSTER MEET", "127.0.0.1", node.port)

            def agreed() -> bool:
                for client in clients:
                    info: Any = client.execute_command("CLUSTER INFO")
                    if info["cluster_state"] != "ok" or int(info["cluster_size"]) != len(clients):
                        return False
                return True

            wait_until(agreed, "every node says cluster_state:ok")
        finally:
            for client in clients:
                client.close()

    def _replicate(self) -> None:
        for node, replica in zip(self.nodes, self.replicas, strict=False):
            with client_of(node.url) as master, client_of(replica.url) as client:
                client.execute_command("CLUSTER MEET", "127.0.0.1", node.port)
                name = str(master.execute_command("CLUSTER MYID"))

                def known(client: Any = client, name: str = name) -> bool:
                    return name in str(client.execute_command("CLUSTER NODES"))

                wait_until(known, "the replica knows its master")
                client.execute_command("CLUSTER REPLICATE", name)

                def linked(client: Any = client) -> bool:
                    return bool(client.info("replication").get("master_link_status") == "up")

                wait_until(linked, "the replica has its master's data")

    def tags_at(self, node: EmbeddedServer, tags: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of these tags whose slots one node has."""
        with client_of(self.nodes[0].url) as client:
            slots: Any = client.execute_command("CLUSTER SLOTS")
        ranges = [(start, end) for start, end, master, *_ in slots if master[1] == node.port]
        return tuple(tag for tag in tags if any(start <= key_slot(tag.encode()) <= end for start, end in ranges))

    def wait_replicated(self) -> None:
        """Wait until each replica has all that its master has now."""
        for node, replica in zip(self.nodes, self.replicas, strict=False):
            with client_of(node.url) as master, client_of(replica.url) as client:

                def offset(of: Any) -> int:
                    return int(of.info("replication")["master_repl_offset"])

                wanted = offset(master)
                wait_until(lambda client=client, wanted=wanted: offset(client) >= wanted, "it is replicated")  # type: ignore[misc]

    def move_slot(self, tag: str, *, to: int) -> None:
        """Move the slot of a tag to another master, key by key, as redis-cli does. It may be there already."""
        slot = key_slot(tag.encode())
        clients: list[Any] = [client_of(node.url) for node in self.nodes]
        names = [client.execute_command("CLUSTER MYID") for client in clients]
        ranges = clients[0].execute_command("CLUSTER SLOTS")
        [port] = [master[1] for start, end, master, *_ in ranges if start <= slot <= end]
        at = next(place for place, node in enumerate(self.nodes) if node.port == port)
        source, target = clients[at], clients[to]
        if at == to:
            return
        target.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", names[at])
        source.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", names[to])
        while keys := source.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
            source.execute_command("MIGRATE", "127.0.0.1", self.nodes[to].port, "", 0, 60_000, "KEYS", *keys)
        for client in (target, source, *clients):
            client.execute_command("CLUSTER SETSLOT", slot, "NODE", names[to])
        for client in clients:
            client.close()

    def flush(self) -> None:
        """Remove every key."""
        for node in self.nodes:
            flush(node.url)

    def stop(self) -> None:
        """Stop every node."""
        for node in (*self.nodes, *self.replicas):
            node.stop()


def client_of(url: str) -> redis.Redis:
    """Return a client of a server, of a Cluster, or of the master that Sentinels name; it follows that one."""
    if url.startswith("redis+cluster://"):
        cluster: Any = RedisCluster.from_url(url.replace("+cluster", ""), decode_responses=True)
        return cluster  # type: ignore[no-any-return]
    if not url.startswith("redis+sentinel://"):
        return redis.Redis.from_url(url, decode_responses=True)
    account, _, place = url.removeprefix("redis+sentinel://").rpartition("@")
    hosts, service, _ = place.split("/")
    nodes = [(host, int(port)) for host, port in (one.split(":") for one in hosts.split(","))]
    password = account.partition(":")[2] or None
    found: redis.Redis = Sentinel(nodes).master_for(service, password=password, decode_responses=True)
    return found


def flush(url: str) -> None:
    """Remove everything from one server, also from one in memory."""
    if url.startswith("memory:"):
        MemoryServer.at(url).flush()
        return
    if url.startswith("django:"):
        empty(url)
        return
    with redis.Redis.from_url(url) as client:
        client.flushall()
