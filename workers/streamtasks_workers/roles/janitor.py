"""Delete what queues leave behind: consumers of children that have ended, and streams that are used no more."""

from __future__ import annotations

from .base import Role, ServedApp

__all__ = ["Janitor"]

IDLE_MS = 3_600_000


class Janitor(Role):
    """Cleaning of one shard."""

    def __init__(self, app: ServedApp, tag: str) -> None:
        super().__init__(app, tag)
        self.interval_s = 600.0

    async def run_once(self) -> None:
        """Sweep all streams once."""
        await self.store.sweep(self.tag, IDLE_MS)
