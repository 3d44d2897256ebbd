"""Forget the consumers of children that ended long ago; their names are never used again."""

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
        """Sweep once."""
        await self.store.sweep(self.tag, IDLE_MS)
