"""Forget the consumers of children that are long gone; their names are never used again."""

from __future__ import annotations

from streamtasks.stores.base import SupervisorStore

__all__ = ["Janitor"]

IDLE_MS = 3_600_000


class Janitor:
    """Tidiness of one shard. Rarely at work, and any number of workers may do it."""

    def __init__(self, store: SupervisorStore, tag: str, idle_ms: int = IDLE_MS) -> None:
        self._store = store
        self._tag = tag
        self._idle_ms = idle_ms

    async def run_once(self) -> int:
        """Sweep once; return how many consumers were forgotten."""
        return await self._store.sweep(self._tag, self._idle_ms)
