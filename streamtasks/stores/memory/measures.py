"""Measure a shard (measures.lua)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ..measure_types import MOST_LIMITS, LimitMeasure, Measures, QueueMeasure
from ..rules import phases
from ..rules.rate_limits import tokens_left
from ..types import Limit
from .shard import Shard
from .state import NOBODY, SUSPECTS, Stream, entry_age, is_free

__all__ = ["added", "limits", "measures"]


def measures(shard: Shard) -> Measures:
    """Return how much lies in a shard, and since when."""
    now_ms = shard.now_ms()
    due_ms = min((one.next_ms for one in shard.schedules.values() if one.next_ms and not one.paused), default=now_ms)
    return Measures(
        [*(_measure(stream, now_ms) for stream in shard.streams.values()), *_waits(shard)],
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


def limits(shards: Iterable[Shard]) -> list[LimitMeasure]:
    """Return the rate limits that are in use, by name."""
    rates: dict[str, Limit] = {}
    full_at_us: dict[str, int] = {}
    now_us = 0
    for shard in shards:
        rates.update((name, state.limit) for name, state in shard.limits.items())
        full_at_us.update(shard.limiters.items())
        now_us = shard.clock.now_us()
    return [
        LimitMeasure(name, tokens_left(rates[name], full_at_us.get(name, 0), now_us))
        for name in sorted(rates)[:MOST_LIMITS]
    ]


def _waits(shard: Shard) -> Iterator[QueueMeasure]:
    counts = Counter((message.name.partition(":")[2], message.phase) for message in shard.live.values())
    for (queue, phase), count in counts.items():
        if phase == phases.DELAYED:
            yield QueueMeasure(queue, 0, 0, 0, delayed=count)
        elif phase == phases.LIMITED:
            yield QueueMeasure(queue, 0, 0, 0, limited=count)


def _measure(stream: Stream, now_ms: int) -> QueueMeasure:
    free = sum(is_free(who) for who in stream.owners.values()) + len(stream.unread)
    waiting = [*stream.unread, *(entry for entry, who in stream.owners.items() if who in (NOBODY, SUSPECTS))]
    oldest_ms = max(1, now_ms - min(map(entry_age, waiting))[0]) if waiting else 0
    return QueueMeasure(stream.queue, free, len(stream.entries) - free, oldest_ms, stream.added)
