"""Let messages that wait for a rate limit go on, at their time."""

from __future__ import annotations

from .base import RoleOnTime

__all__ = ["Limiter"]


class Limiter(RoleOnTime):
    """Admits messages of one shard at the times that their rate limits allow.

    Any number of workers may do it at once: each start is counted once.
    """

    async def _work(self) -> float | None:
        next_us = (await self._store.admit(self._tag)).next_us
        return None if next_us is None else next_us / 1_000_000
