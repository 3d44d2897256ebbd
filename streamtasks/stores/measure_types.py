"""What `Store.measures` returns: how much lies in a store, and since when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

__all__ = ["MOST_LIMITS", "LimitMeasure", "Measures", "QueueMeasure", "ServerMeasure"]

MOST_LIMITS: Final = 40
"""So many rate limits are measured at most."""


class LimitMeasure(NamedTuple):
    """A rate limit that is in use: for which tasks wait, or that tasks have used up lately.

    Attributes:
        name: of it.
        tokens: how many starts it would allow now.
    """

    name: str
    tokens: int


class QueueMeasure(NamedTuple):
    """What is in a queue now.

    Attributes:
        queue: its name.
        ready: messages that can be claimed.
        claimed: messages that workers hold.
        oldest_ms: for how long the oldest that can be claimed has waited, ms; 0: there is none.
        added: how many have come to it since its streams were made: what was enqueued, what became due, and each retry;
            0: the store does not count.
        delayed: messages that wait for their time: not due yet, or to be retried. On a server without those that a
            release before 1.0 let wait.
        limited: messages that wait for a rate limit, likewise.
    """

    queue: str
    ready: int
    claimed: int
    oldest_ms: int
    added: int = 0
    delayed: int = 0
    limited: int = 0

    def plus(self, other: QueueMeasure | None) -> QueueMeasure:
        """Return it together with what another store or shard has of it."""
        if other is None:
            return self
        return QueueMeasure(
            self.queue,
            self.ready + other.ready,
            self.claimed + other.claimed,
            max(self.oldest_ms, other.oldest_ms),
            self.added + other.added,
            self.delayed + other.delayed,
            self.limited + other.limited,
        )


class ServerMeasure(NamedTuple):
    """A master.

    Attributes:
        address: of it.
        version: of the server; empty: it does not say.
        memory_bytes: what it uses.
        memory_limit_bytes: what it may use, 0: no limit.
        lag_bytes: what its slowest replica has yet to get; None: it has no replica.
    """

    address: str
    version: str
    memory_bytes: int
    memory_limit_bytes: int
    lag_bytes: int | None


class Measures(NamedTuple):
    """A store.

    Attributes:
        queues: those that had a message lately, or have one that waits, by name.
        unfinished: messages without an outcome.
        running: attempts that are known to run.
        delayed: messages that wait for their time.
        limited: messages that wait for a rate limit.
        dead_kept: dead letters that are kept.
        overdue_ms: for how long the first due occurrence of a schedule has been due, ms; 0: none is due.
        servers: the masters that answered; none if the user may not ask them, or there is no server.
        now_ms: the time by the store's clock, ms since the epoch; of several shards the latest.
        limits: rate limits that are in use, by name; at most `MOST_LIMITS`.
        operations: how many audit entries there ever were, by operation and outcome, see `counted_as`.
    """

    queues: list[QueueMeasure]
    unfinished: int
    running: int
    delayed: int
    limited: int
    dead_kept: int
    overdue_ms: int
    servers: list[ServerMeasure]
    now_ms: int
    limits: Sequence[LimitMeasure] = ()
    operations: Mapping[tuple[str, str], int] = MappingProxyType({})
