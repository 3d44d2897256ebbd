"""Replace the envelopes of held messages."""

from __future__ import annotations

from ....protocol.keys import Keys
from ...types import Claimed
from ..scripts import Call, script
from ..shards import Operation, Shards

__all__ = ["rewrite", "rewrite_call"]


def rewrite_call(keys: Keys, claimed: Claimed, envelope: bytes) -> Call:
    """Build rewrite of one message."""
    return script("rewrite").call(keys, more_args=[claimed.id, claimed.token, envelope])


def rewrite(shards: Shards, claimed: Claimed, envelope: bytes) -> Operation[bool]:
    """See `Store.rewrite`."""
    [reply] = yield [rewrite_call(shards.of(claimed.id).keys, claimed, envelope)]
    return bool(reply[0] == 1)
