"""Go on with workflows: what is too much for one step, deadlines, cancellations, and what was never made live."""

from __future__ import annotations

import asyncio

from streamtasks.store import SupervisorStore

__all__ = ["Unfolder"]

LOOK_S = 2.0
"""A look this often, seconds, in case the news of something to do was lost."""


class Unfolder:
    """Workflows of one shard. Any number of workers may do it: every step is safe to repeat."""

    def __init__(self, store: SupervisorStore, tag: str) -> None:
        self._store = store
        self._tag = tag
        self._news = asyncio.Event()
        self.next_s = 0.0

    def wake(self) -> None:
        """Tell that there is something to do."""
        self._news.set()

    async def run_once(self) -> None:
        """Do what is due; set ``next_s`` to how long to sleep, seconds."""
        self._news.clear()
        next_ms = await self._store.unfold(self._tag)
        self.next_s = LOOK_S if next_ms is None else min(next_ms / 1000, LOOK_S)

    async def sleep(self) -> None:
        """Sleep until there is something to do, or until `wake`."""
        try:
            async with asyncio.timeout(self.next_s):
                await self._news.wait()
        except TimeoutError:
            return
