"""Turns of roles: with many shards their runs begin one after the other, so that no turn of the event loop is long."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

__all__ = ["Turns"]

AT_A_TIME: Final = 8
"""So many runs begin in one turn."""

TURN_S: Final = 0.01
"""A turn begins so long after the one before, seconds; later if the machine is starved."""


class Turns:
    """Whose run begins when, for one event loop.

    All roles of all shards have something to do at the start, and when the store is there again. What they do in one
    turn of the event loop delays whatever else a keeper does in it, down to its signs of life.
    """

    def __init__(self) -> None:
        self._left = AT_A_TIME
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def next(self) -> None:
        """Return when a run may begin: at once, unless many have begun just now."""
        if self._left == AT_A_TIME:
            asyncio.get_running_loop().call_later(TURN_S, self._begin)
        if self._left:
            self._left -= 1
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        await mine

    def _begin(self) -> None:
        self._left = AT_A_TIME
        while self._left and self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():  # it may have been cancelled
                waiting.set_result(None)
                self._left -= 1
        if self._left < AT_A_TIME:
            asyncio.get_running_loop().call_later(TURN_S, self._begin)
