"""One living child as the keeper sees it: its board is looked at every tick."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from ..process.board import Board
from .enforcer import Enforcer
from .watch import Watch

__all__ = ["WatchedChild"]


class WatchedChild:
    """A child, its watch and its enforcer. A slow store delays only the board it was asked for.

    ``request``: asks the supervisor for something, with the reason; see `ProcessTable.obey`.
    """

    def __init__(
        self, board: Board, pid: int, watch: Watch, enforcer: Enforcer, request: Callable[[str, str], None]
    ) -> None:
        self.board = board
        self.pid = pid
        self.watch = watch
        self.enforcer = enforcer
        self._request = request
        self._watching = self._enforcing = self._replaced = False

    def look(self, *, stopping: bool) -> Iterator[Coroutine[Any, Any, None]]:
        """Look at the board; yield what must be done with the store, beside all else."""
        if not self._watching and self.watch.wants_look(stopping=stopping):
            self._watching = True
            yield self._watch(stopping=stopping)
        if self.board.aged and not self._replaced:
            self._replaced = True
            self._request("replace", "it has reached its age or size")
        slots = self.enforcer.look()
        if slots and not self._enforcing:
            self._enforcing = True
            yield self._enforce(slots)

    async def _watch(self, *, stopping: bool) -> None:
        try:
            await self.watch.run_once(stopping=stopping)
        finally:
            self._watching = False

    async def _enforce(self, slots: list[int]) -> None:
        try:
            await self.enforcer.run_once(slots)
        finally:
            self._enforcing = False
