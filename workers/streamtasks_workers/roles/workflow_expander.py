"""Continue workflows: steps with too many members for one script, deadlines, cancellations, abandoned stages."""

from __future__ import annotations

from .base import DueRole

__all__ = ["WorkflowExpander"]


class WorkflowExpander(DueRole):
    """Workflows of one shard. Every step is safe to repeat."""

    wake_on = "unfold"

    async def work(self) -> float | None:
        """See `DueRole.work`."""
        next_ms = await self.store.unfold(self.tag)
        return None if next_ms is None else next_ms / 1000
