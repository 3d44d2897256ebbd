"""How many replicas of each master must acknowledge a message, as far as one store knows."""

from __future__ import annotations

import math
import re

from ...settings import StoreSettings
from .endpoints import endpoint_of
from .nodes import Node

__all__ = ["LOOK_EVERY_S", "ReplicaCount", "ReplicaCounts", "connected_replicas", "replica_nodes"]

LOOK_EVERY_S = 1.0
"""How often a store that enqueues asks the master again, seconds."""


class ReplicaCount:
    """What one store has learnt of the replicas of one master. May be shared between threads.

    The master knows only the replicas that are connected now: during a failover it knows fewer, and the one that is
    missing is the next master. So the count never falls, unless Sentinels tell it: they know how many there are, and
    which of them are away and cannot be the next master.

    Attributes:
        most: how many were connected at most.
        connected: how many were connected when the master was asked last; `changes`: which master that was.
        look_at: when to ask it again, `time.monotonic`.
        told: whether a master has told it. If none may be asked, no replica counts as away.
    """

    def __init__(self, most: int = 0) -> None:
        self.most = most
        self.connected = self.changes = 0
        self.look_at = -math.inf
        self.told = False

    def learn(self, connected: int, now: float, changes: int = 0) -> None:
        """Take in how many replicas are connected; ``changes``: `Endpoint.changes` of the connection that asked."""
        self.connected, self.changes, self.told = connected, changes, True
        self.most = max(self.most, connected)
        self.look_at = now + LOOK_EVERY_S

    def needed(self, settings: StoreSettings, since: int | None = None) -> int:
        """Return how many must acknowledge.

        Args:
            settings: of the store.
            since: `Endpoint.changes` of the connection by which the message was sent. If the master has changed since
                then, the replicas that are away are not those of the server that has the message.
        """
        endpoint = endpoint_of(settings)
        total = self.total(settings)
        if settings.replicas is not None or endpoint.search is None or not self.told:
            return total
        away = endpoint.search.away  # before it is looked whose they are: another thread may find another master
        if since not in {None, endpoint.changes}:
            return total
        # Of a master that was not asked yet it is not known. It is asked behind the wait.
        connected = self.connected if self.changes == endpoint.changes else 0
        return max(min(1, total), total - away, connected)

    def total(self, settings: StoreSettings) -> int:
        """Return how many there are, also those that are away."""
        if settings.replicas is not None:
            return settings.replicas
        search = endpoint_of(settings).search
        if search is not None and search.replicas is not None:
            return max(search.replicas, self.connected)
        return self.most


class ReplicaCounts:
    """The counts of all masters of one store, by their addresses as in `scripts.Answer`.

    A Cluster has several. One that was not there before may have been the replica of another, and that one may come
    back as its own: it is taken to have as many as any.

    Attributes:
        given: the levels that the masters are known to give.
    """

    def __init__(self) -> None:
        self.given: set[str] = set()
        self._of: dict[str, ReplicaCount] = {}

    def of(self, master: str) -> ReplicaCount:
        """Return the count of one master."""
        found = self._of.get(master)
        if found is None:
            most = max((count.most for count in list(self._of.values())), default=0) if self.given else 0
            found = self._of.setdefault(master, ReplicaCount(most))
        return found

    def fewest(self, settings: StoreSettings) -> int:
        """Return how many must acknowledge at the master that has the fewest."""
        return min((count.needed(settings) for count in list(self._of.values())), default=settings.replicas or 0)


def replica_nodes(info: bytes) -> frozenset[Node]:
    """Return the addresses of the replicas that follow, from what INFO says of replication."""
    found = re.findall(rb"^slave\d+:ip=([^,]+),port=(\d+),state=online", info, re.MULTILINE)
    return frozenset(Node(host.decode(), int(port)) for host, port in found)


def connected_replicas(info: bytes) -> int:
    """Return how many replicas are connected, from what INFO says of replication; 0 if it is not a master."""
    found = re.search(rb"^connected_slaves:(\d+)", info, re.MULTILINE)
    return int(found[1]) if found else 0
