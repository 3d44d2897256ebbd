"""Extend leases of claims (renew.lua)."""

from __future__ import annotations

from collections.abc import Sequence

from .shard import Shard

__all__ = ["renew"]


def renew(shard: Shard, tokens: Sequence[str]) -> list[bool]:
    """Extend the leases of claims; return False for each that was lost."""
    answers = [token in shard.leases for token in tokens]
    until_ms = shard.now_ms() + shard.settings.lease_ms
    shard.leases.update((token, until_ms) for token in tokens if token in shard.leases)
    return answers
