"""Move due messages to their streams, at their time."""

from __future__ import annotations

from .base import RoleOnTime

__all__ = ["Promoter"]


class Promoter(RoleOnTime):
    """Promotion of one shard."""

    async def _work(self) -> float | None:
        next_ms = (await self._store.promote(self._tag)).next_due_ms
        return None if next_ms is None else next_ms / 1000
