"""Go on with workflows: what is too much for one step, deadlines, cancellations, and what was never made live."""

from __future__ import annotations

from .base import RoleOnTime

__all__ = ["Unfolder"]


class Unfolder(RoleOnTime):
    """Workflows of one shard. Any number of workers may do it: every step is safe to repeat."""

    async def _work(self) -> float | None:
        next_ms = await self._store.unfold(self._tag)
        return None if next_ms is None else next_ms / 1000
