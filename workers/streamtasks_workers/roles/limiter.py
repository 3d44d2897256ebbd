"""Admit messages that wait for a rate limit, at their time."""

from __future__ import annotations

from .base import DueRole

__all__ = ["Limiter"]


class Limiter(DueRole):
    """Rate limits of one shard. Each start is counted once, however many workers ask."""

    wake_on = "limit"

    async def work(self) -> float | None:
        """See `DueRole.work`."""
        next_us = (await self.store.admit(self.tag)).next_us
        return None if next_us is None else next_us / 1_000_000
