"""Promote delayed messages: move those that are due to their streams."""

from __future__ import annotations

from collections.abc import Sequence

from ....protocol.keys import Keys
from ...types import Promotion
from ..batches import MOST
from ..scripts import Call, script, stream_keys
from ..shards import Operation, Shards

__all__ = ["promote", "promote_call"]


def promote_call(keys: Keys, names: Sequence[str], most: int) -> Call:
    """Build promote with the stream names the caller knows of."""
    return Call(
        script("promote"),
        [
            keys.delayed,
            keys.messages,
            keys.state,
            keys.ready,
            keys.streams,
            keys.wake,
            keys.waiting,
            keys.limits,
            keys.asking,
            keys.control,
            keys.links,
            *stream_keys(keys, tuple(names)),
        ],
        [most, len(names), *names],
    )


def promote(shards: Shards, tag: str) -> Operation[Promotion]:
    """See `SupervisorStore.promote`: all that are due now, in bounded steps."""
    shard = shards.by_tag[tag]
    promoted = 0
    while True:
        [reply] = yield [promote_call(shard.keys, list(shard.names), MOST)]
        promoted += reply[1]
        shard.learn(reply[3])
        if reply[2] > 0 or reply[2] == -1:
            return Promotion(promoted, reply[2] if reply[2] > 0 else None)
