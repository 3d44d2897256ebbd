"""Move due messages to their streams, at their time."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from .base import DueRole

__all__ = ["Promoter"]

SOON_S: Final = 0.004
"""The store is asked so long before a message is due, seconds: then all that takes part is awake, and quick."""

TIMER_S: Final = 0.0015
"""The event loop wakes up to so much too late, seconds. So much is slept exactly, while it stands still."""

MOST_LOOKS: Final = 10
"""So often the store is asked in one run."""


class Promoter(DueRole):
    """Promotion on one shard."""

    wake_on = "due"

    async def work(self) -> float | None:
        """See `DueRole.work`."""
        next_us = (await self.store.promote(self.tag)).next_due_us
        return None if next_us is None else next_us / 1e6

    async def run_once(self) -> float | None:
        """See `Role.run_once`."""
        for _ in range(MOST_LOOKS):
            asked_at = time.monotonic()
            wait_s = await self.work()
            if wait_s is None:
                return self.interval_s
            if wait_s > SOON_S:
                return min(wait_s - SOON_S, self.interval_s)
            # The next call will take as long as this one has. It is not early: the server's clock decides.
            await _sleep_exactly(wait_s - (time.monotonic() - asked_at))
        return 0.0


async def _sleep_exactly(seconds: float) -> None:
    until = time.monotonic() + seconds
    if seconds > TIMER_S:
        await asyncio.sleep(seconds - TIMER_S)
    time.sleep(max(0.0, until - time.monotonic()))  # noqa: ASYNC251 - shorter than the loop can
