"""Let messages that wait for a rate limit go on, at their time."""

from __future__ import annotations

import asyncio

from streamtasks.store import SupervisorStore
from streamtasks.transitions import Grant

__all__ = ["Limiter"]

LOOK_S = 2.0
"""A look this often, seconds, in case the news of a new or freed limit was lost."""


class Limiter:
    """Rate limits of one shard: asks the limiters when the shard says so, sleeps on a local timer until then.

    Any number of workers may do it: the shard hands out each ask once, and takes each grant once.
    """

    def __init__(self, store: SupervisorStore, tag: str) -> None:
        self._store = store
        self._tag = tag
        self._news = asyncio.Event()
        self.next_s = 0.0

    def wake(self) -> None:
        """Tell that there may be something to ask for."""
        self._news.set()

    async def run_once(self) -> int:
        """Ask for what is due, admit what was granted; set ``next_s`` to how long to sleep, seconds.

        Return how many messages were admitted.
        """
        self._news.clear()
        grants: list[Grant] = []
        admitted = 0
        while True:
            admission = await self._store.admit(self._tag, grants)
            admitted += admission.admitted
            if not admission.asks:
                break
            grants = await self._store.take(admission.asks)
        next_s = LOOK_S if admission.next_us is None else admission.next_us / 1_000_000
        self.next_s = min(next_s, LOOK_S)
        return admitted

    async def sleep(self) -> None:
        """Sleep until there is something to ask for, or until `wake`."""
        try:
            async with asyncio.timeout(self.next_s):
                await self._news.wait()
        except TimeoutError:
            return
