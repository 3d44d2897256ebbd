"""Promote delayed messages: move those that are due to their streams."""

from __future__ import annotations

from collections.abc import Sequence

from ....protocol.keys import Keys
from ...types import Promotion
from ..batches import MOST
from ..scripts import Call, script
from ..shards import Operation, Shards

__all__ = ["promote", "promote_call"]


def promote_call(keys: Keys, names: Sequence[str], most: int) -> Call:
    """Build promote with the stream names the caller knows of."""
    return script("promote").call(keys, most=most, streams=names)


def promote(shards: Shards, tag: str) -> Operation[Promotion]:
    """See `SupervisorStore.promote`: all that are due now, in bounded steps."""
    shard = shards.by_tag[tag]
    promoted, names = 0, shards.names_at(shard)
    while True:
        [reply] = yield [promote_call(shard.keys, names, MOST)]
        _, missing, count, next_us = reply
        promoted += count
        names = shard.with_missing(names, missing)
        if next_us != 0:
            return Promotion(promoted, next_us if next_us > 0 else None)
