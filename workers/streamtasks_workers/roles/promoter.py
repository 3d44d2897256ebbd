"""Move due messages to their streams, at their time."""

from __future__ import annotations

from .base import DueRole

__all__ = ["Promoter"]


class Promoter(DueRole):
    """Promotion on one shard."""

    wake_on = "due"

    async def work(self) -> float | None:
        """See `DueRole.work`."""
        next_ms = (await self.store.promote(self.tag)).next_due_ms
        return None if next_ms is None else next_ms / 1000
