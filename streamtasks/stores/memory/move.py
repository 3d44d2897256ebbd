"""Let a message wait in another queue (move.lua)."""

from __future__ import annotations

from ...protocol.keys import stream_name
from ..bulk_types import Move
from ..rules import phases
from .shard import Shard

__all__ = ["move"]


def move(shard: Shard, one: Move) -> bool:
    """Move a message that nobody holds; return whether it is there now."""
    new, message = one.new, shard.live.get(one.new.id)
    if message is None:
        return False
    body = message.body.partition(b" ")[0] + b" " + new.envelope
    if message.body == body:
        return True
    name = stream_name(new.queue, new.priority)
    if message.name != one.stream:
        return False
    if message.phase in (phases.QUEUED, phases.SUSPECT):
        stream = shard.streams.get(one.stream)
        if stream is None or stream.entries.get(one.entry) != message.id:
            return False
        stream.drop(one.entry)
        message.name = name
        shard.append(message)
    elif message.phase in (phases.DELAYED, phases.LIMITED):
        message.name = name
    else:
        return False
    message.body = body
    return True
