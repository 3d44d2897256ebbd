"""What sleeps until there is something to do: on a local timer, or until it is told."""

from __future__ import annotations

import asyncio
from typing import Final

from streamtasks.stores.base import SupervisorStore

__all__ = ["LOOK_S", "RoleOnTime"]

LOOK_S: Final = 2.0
"""A look this often, seconds, in case the news of something to do was lost."""


class RoleOnTime:
    """A role for one shard whose work comes at known times. Any number of workers may do it.

    Args:
        store: the shard's.
        tag: of the shard.
        look_s: it looks this often at least, seconds.
    """

    def __init__(self, store: SupervisorStore, tag: str, look_s: float = LOOK_S) -> None:
        self._store = store
        self._tag = tag
        self._look_s = look_s
        self._news = asyncio.Event()
        self.next_s = 0.0

    def wake(self) -> None:
        """Tell that there may be something to do, earlier than it knows."""
        self._news.set()

    async def run_once(self) -> None:
        """Do what is due; set ``next_s`` to how long to sleep, seconds."""
        self._news.clear()
        next_s = await self._work()
        self.next_s = self._look_s if next_s is None else min(next_s, self._look_s)

    async def sleep(self) -> None:
        """Sleep until there is something to do, or until `wake`."""
        try:
            async with asyncio.timeout(self.next_s):
                await self._news.wait()
        except TimeoutError:
            return

    async def _work(self) -> float | None:
        """Do what is due; return seconds until there is more, None: nothing is known to come."""
        raise NotImplementedError
