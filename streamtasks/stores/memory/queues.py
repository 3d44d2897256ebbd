"""Retire streams of queues that nothing is in (sweep.lua, forget_queue.lua)."""

from __future__ import annotations

from ..types import Swept
from .shard import Shard
from .state import Stream, is_free

__all__ = ["forget_queue", "sweep"]


def sweep(shard: Shard, idle_ms: int) -> Swept:  # noqa: ARG001 - consumers leave nothing behind here
    """Delete empty streams, and whatever else is not needed any more."""
    return Swept(0, shard.clean())


def forget_queue(shard: Shard, queue: str) -> tuple[int, int, int]:
    """Retire the streams of a queue; return how many, or how many messages are left, and how many are held."""
    streams = [stream for stream in shard.streams.values() if stream.queue == queue]
    for stream in streams:
        for entry in [entry for entry, task_id in stream.entries.items() if task_id not in shard.live]:
            stream.drop(entry)
    left = sum(len(stream.entries) for stream in streams)
    if left:
        return 0, left, sum(map(_held_in, streams))
    for stream in streams:
        shard.retire(stream)
    return len(streams), 0, 0


def _held_in(stream: Stream) -> int:
    return sum(not is_free(owner) for owner in stream.owners.values())
