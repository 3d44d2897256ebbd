"""Move due messages to their streams, at their time."""

from __future__ import annotations

import asyncio

from streamtasks.store import SupervisorStore

__all__ = ["Promoter"]

LOOK_S = 2.0
"""A look this often, seconds, in case the news of an earlier due time was lost."""


class Promoter:
    """Promotion of one shard: sleeps on a local timer until the next due time."""

    def __init__(self, store: SupervisorStore, tag: str) -> None:
        self._store = store
        self._tag = tag
        self._earlier = asyncio.Event()
        self.next_s = 0.0

    def wake(self) -> None:
        """Tell that a message with an earlier due time has arrived."""
        self._earlier.set()

    async def run_once(self) -> int:
        """Promote what is due; set ``next_s`` to how long to sleep, seconds. Return how many were promoted."""
        self._earlier.clear()
        promotion = await self._store.promote(self._tag)
        next_s = LOOK_S if promotion.next_due_ms is None else promotion.next_due_ms / 1000
        self.next_s = min(next_s, LOOK_S)
        return promotion.promoted

    async def sleep(self) -> None:
        """Sleep until the next due time, or until `wake`."""
        try:
            async with asyncio.timeout(self.next_s):
                await self._earlier.wait()
        except TimeoutError:
            return
