"""Clean up queues: sweep consumers that have ended, and retire streams that nothing is in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ....protocol.keys import Keys, check_queue, stream_name
from ...rules.queues import PRIORITIES, not_empty
from ...types import Swept
from ..scripts import Call, script
from ..shards import Operation, Shards

__all__ = ["forget_queue", "forget_queue_call", "sweep", "sweep_call"]

MOST_SWEPT: Final = 16


def sweep_call(keys: Keys, names: Sequence[str], idle_ms: int, retire_ms: int, after: str, most: int) -> Call:
    """Build sweep of these streams; it returns the names of the next ``most`` behind ``after``."""
    return script("sweep").call(keys, idle_ms=idle_ms, retire_ms=retire_ms, after=after, most=most, streams=names)


def sweep(shards: Shards, tag: str, idle_ms: int) -> Operation[Swept]:
    """See `SupervisorStore.sweep`."""
    keys, retire_ms = shards.by_tag[tag].keys, shards.settings.queue_expires_ms
    consumers: int = 0
    streams: int = 0
    names: list[str] = []
    while True:
        [reply] = yield [sweep_call(keys, names, idle_ms, retire_ms, names[-1] if names else "", MOST_SWEPT)]
        consumers += reply[0]
        streams += reply[1]
        names = [raw.decode() for raw in reply[2]]
        if not names:
            return Swept(consumers, streams)


def forget_queue_call(keys: Keys, queue: str) -> Call:
    """Build forget_queue."""
    names = [stream_name(queue, priority) for priority in PRIORITIES]
    return script("forget_queue").call(
        keys, wake=keys.queue_wake(queue), more_keys=map(keys.stream, names), more_args=names
    )


def forget_queue(shards: Shards, queue: str) -> Operation[bool]:
    """See `Store.forget_queue`: shard by shard; those in which nothing is go in any case."""
    check_queue(queue)
    forgotten: int = 0
    left: int = 0
    held: int = 0
    for shard in shards.by_tag.values():
        while True:
            [[streams, messages, in_hands, more]] = yield [forget_queue_call(shard.keys, queue)]
            if not more:
                break
        forgotten, left, held = forgotten + streams, left + messages, held + in_hands
    if left:
        raise not_empty(queue, left, held)
    return forgotten > 0
