"""Measure a shard (measures.lua)."""

from __future__ import annotations

from collections.abc import Sequence

from ..measure_types import Measures, QueueMeasure
from .shard import Shard
from .state import NOBODY, SUSPECTS, Stream, entry_age, is_free

__all__ = ["added", "measures"]


def measures(shard: Shard) -> Measures:
    """Return how much lies in a shard, and since when."""
    now_ms = shard.now_ms()
    due_ms = min((one.next_ms for one in shard.schedules.values() if one.next_ms and not one.paused), default=now_ms)
    return Measures(
        [_measure(stream, now_ms) for stream in shard.streams.values()],
        len(shard.live),
        sum(message.is_running for message in shard.live.values()),
        len(shard.delayed),
        sum(map(len, shard.waiting.values())),
        len(shard.dead),
        max(0, now_ms - due_ms),
        [],
        now_ms,
    )


def added(parts: Sequence[Measures]) -> Measures:
    """Return several shards as one store."""
    by_queue: dict[str, QueueMeasure] = {}
    for one in (queue for part in parts for queue in part.queues):
        by_queue[one.queue] = one.plus(by_queue.get(one.queue))
    return Measures(
        sorted(by_queue.values()),
        sum(part.unfinished for part in parts),
        sum(part.running for part in parts),
        sum(part.delayed for part in parts),
        sum(part.limited for part in parts),
        sum(part.dead_kept for part in parts),
        max(part.overdue_ms for part in parts),
        [],
        max(part.now_ms for part in parts),
    )


def _measure(stream: Stream, now_ms: int) -> QueueMeasure:
    free = sum(is_free(who) for who in stream.owners.values()) + len(stream.unread)
    waiting = [*stream.unread, *(entry for entry, who in stream.owners.items() if who in (NOBODY, SUSPECTS))]
    oldest_ms = max(1, now_ms - min(map(entry_age, waiting))[0]) if waiting else 0
    return QueueMeasure(stream.queue, free, len(stream.entries) - free, oldest_ms, stream.added)
