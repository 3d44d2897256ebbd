"""Replace the envelopes of held messages (rewrite.lua)."""

from __future__ import annotations

from ..types import Claimed
from .shard import Shard

__all__ = ["rewrite"]


def rewrite(shard: Shard, claimed: Claimed, envelope: bytes) -> bool:
    """Replace the envelope of a message; return False if its claim was lost."""
    message = shard.held(claimed.id, claimed.token)
    if message is None:
        return False
    message.body = message.body.partition(b" ")[0] + b" " + envelope
    return True
