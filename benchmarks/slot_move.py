"""Move a slot between two masters, and measure how long clients of each server wait meanwhile."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import redis
from redis.crc import key_slot

EVERY_S = 0.001
BATCH = 10
"""``redis-cli --cluster reshard`` moves so many keys in one MIGRATE."""


class Waits:
    """The longest time that a PING takes on each of some servers, ms. A process of its own for each server."""

    def __init__(self, urls: Sequence[str]) -> None:
        context = multiprocessing.get_context("fork")
        self._lines: list[Connection] = []
        self._processes = []
        for url in urls:
            ours, theirs = context.Pipe()
            process = context.Process(target=_watch, args=(url, theirs), daemon=True)
            process.start()
            self._lines.append(ours)
            self._processes.append(process)

    def reset(self) -> None:
        """Begin."""
        self.worst_ms()

    def worst_ms(self) -> list[float]:
        """Return the longest wait on each server since the last call, and begin again."""
        for line in self._lines:
            line.send(None)
        return [line.recv() for line in self._lines]

    def stop(self) -> None:
        """End."""
        for process in self._processes:
            process.terminate()
            process.join()


def _watch(url: str, line: Connection) -> None:
    client = redis.Redis.from_url(url, socket_timeout=600)
    worst = 0.0
    while True:
        sent = time.perf_counter()
        client.ping()
        worst = max(worst, time.perf_counter() - sent)
        if line.poll(EVERY_S):
            line.recv()
            line.send(worst * 1000)
            worst = 0.0


@contextmanager
def waits(urls: Sequence[str]) -> Iterator[Waits]:
    """Watch servers."""
    watched = Waits(urls)
    try:
        yield watched
    finally:
        watched.stop()


class Moved(NamedTuple):
    """How a slot was moved.

    ``took_s``: from the first to the last command, in which calls for this slot are refused, unless the move is atomic.
    ``longest_s``: of one MIGRATE. ``error``: why it could not be moved.
    """

    took_s: float
    longest_s: float
    error: str = ""


class Masters:
    """The masters of a Cluster, as an administrator's tool sees them."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.clients: list[Any] = [redis.Redis.from_url(url, socket_timeout=600, decode_responses=True) for url in urls]
        self.ports = [int(url.rsplit(":", 1)[1].split("/")[0]) for url in urls]
        self.names = [client.execute_command("CLUSTER MYID") for client in self.clients]
        for client in self.clients:
            client.config_set("cluster-node-timeout", 15_000)  # the servers' own default

    @property
    def moves_atomically(self) -> bool:
        """Whether the servers move a slot by themselves (Valkey 9)."""
        return int(self.clients[0].info("server").get("valkey_version", "0").partition(".")[0]) >= 9

    def holder(self, tag: str) -> int:
        """Return the place of the master of a tag."""
        slot = key_slot(tag.encode())
        [port] = [
            master[1] for start, end, master, *_ in self.clients[0].execute_command("CLUSTER SLOTS")
            if start <= slot <= end
        ]  # fmt: skip
        return self.ports.index(port)

    def move(self, tag: str, to: int) -> Moved:
        """Move a tag's slot key by key, as redis-cli does."""
        slot, at = key_slot(tag.encode()), self.holder(tag)
        source, target = self.clients[at], self.clients[to]
        begun = time.perf_counter()
        target.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", self.names[at])
        source.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", self.names[to])
        longest = 0.0
        try:
            while keys := source.execute_command("CLUSTER GETKEYSINSLOT", slot, BATCH):
                sent = time.perf_counter()
                source.execute_command("MIGRATE", "127.0.0.1", self.ports[to], "", 0, 600_000, "KEYS", *keys)
                longest = max(longest, time.perf_counter() - sent)
        except redis.ResponseError as error:
            for client in (source, target):
                client.execute_command("CLUSTER SETSLOT", slot, "STABLE")
            return Moved(time.perf_counter() - begun, longest, str(error))
        for client in (target, source, *self.clients):
            client.execute_command("CLUSTER SETSLOT", slot, "NODE", self.names[to])
        return Moved(time.perf_counter() - begun, longest)

    def move_atomically(self, tag: str, to: int) -> Moved:
        """Let the servers move a tag's slot."""
        slot, source = key_slot(tag.encode()), self.clients[self.holder(tag)]
        begun = time.perf_counter()
        source.execute_command("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", self.names[to])
        while True:
            time.sleep(0.01)
            [state] = [_pairs(one)["state"] for one in source.execute_command("CLUSTER GETSLOTMIGRATIONS")][:1]
            if state in ("success", "failed", "canceled"):
                return Moved(time.perf_counter() - begun, 0.0, "" if state == "success" else state)

    def memory(self) -> int:
        """Return the bytes that all of them use."""
        return sum(client.info("memory")["used_memory"] for client in self.clients)

    def cpu_s(self) -> float:
        """Return the processor time that all of them have used, seconds."""
        found = [client.info("cpu") for client in self.clients]
        return sum(float(one["used_cpu_user"]) + float(one["used_cpu_sys"]) for one in found)

    def calls(self) -> int:
        """Return how many commands clients have sent; those inside scripts do not count."""
        total = 0
        for client in self.clients:
            for name, numbers in client.info("commandstats").items():
                if name.removeprefix("cmdstat_") in ("evalsha", "ping", "ssubscribe", "subscribe", "cluster|slots"):
                    total += numbers["calls"]
        return total


def _pairs(flat: Any) -> dict[str, Any]:
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
