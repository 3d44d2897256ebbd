"""Tell what some consumers hold by their claims (holdings.lua)."""

from __future__ import annotations

from collections.abc import Collection

from ..types import Claimed
from .shard import Shard

__all__ = ["holdings"]


def holdings(shard: Shard, consumers: Collection[str]) -> list[Claimed]:
    """Return the messages that consumers hold; see `SupervisorStore.holdings`."""
    tokens = [token for token, _ in shard.leases.items() if token.rpartition("#")[0] in consumers]
    return [
        Claimed(message.id, token, message.name, "", 0, 0, 0, b"")
        for token in tokens
        for message in shard.held_in(token)
    ]
