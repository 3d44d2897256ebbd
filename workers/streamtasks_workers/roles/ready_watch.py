"""Look where there is something to claim, and wake the children that wait for it."""

from __future__ import annotations

import time
from typing import Final

from ..process.board import Board
from ..process.shard_table import NOTHING, ShardTable, priority_code
from .base import Role, ServedApp

__all__ = ["ReadyWatch"]

BUSY_LOOK_S: Final = 0.04
"""While a child is busy, all shards are looked at this often, seconds: a better priority is known within 50 ms."""

IDLE_LOOK_S: Final = 60.0
"""So often otherwise, in case a wake was lost: children that wait look for themselves now and then, too."""

RING_AGAIN_S: Final = 1.0
"""A child is woken for a shard of which nothing new is known at most this often, seconds."""


class ReadyWatch(Role):
    """The shards of one app, if there are several; with one shard, children wait on the server."""

    per_shard = False
    wake_on = "wake"

    def __init__(self, app: ServedApp, tag: str = "") -> None:
        super().__init__(app, tag)
        self._places = {tag: place for place, tag in enumerate(app.tags)}
        self._asked_ns = 0
        self._rung: dict[int, tuple[int, float]] = {}  # place -> the code for which a child was woken, and when
        self.interval_s = 3600.0 if app.table is None else IDLE_LOOK_S

    def heard(self, tag: str, text: str) -> None:
        """Wake a child: something has become ready on a shard."""
        if self.app.table is not None:
            self.app.table.set_rung(self._places[tag])
            self._wake_child()
        super().heard(tag, text)

    async def run_once(self) -> float | None:
        """Look at all shards."""
        table = self.app.table
        if table is None:
            return None
        now_ns = time.monotonic_ns()
        early_s = BUSY_LOOK_S - (now_ns - self._asked_ns) / 1e9
        if early_s > 0:
            return early_s
        self._asked_ns = now_ns
        for place, priority in enumerate(await self.store.ready(self.app.options.filter)):
            table.set_best(place, priority_code(priority), now_ns)
        self._wake_children(table)
        return BUSY_LOOK_S if any(not _waits(board) for board in self.app.boards) else self.interval_s

    def _wake_children(self, table: ShardTable) -> None:
        """Wake a child for each shard on which something is ready, if none was woken for it lately."""
        now = time.monotonic()
        for place in range(table.shards):
            code = table.ready_code(place)
            known, at = self._rung.get(place, (NOTHING, 0.0))
            if code == NOTHING:
                self._rung.pop(place, None)
            elif (code != known or now - at > RING_AGAIN_S) and self._wake_child():
                self._rung[place] = (code, now)

    def _wake_child(self) -> bool:
        """Wake one that waits, if possible one with nothing in hand."""
        waiting = [board for board in self.app.boards if _waits(board)]
        if not waiting:
            return False
        bell = min(waiting, key=lambda board: any(board.states())).doorbell
        assert bell is not None
        bell.ring()
        return True


def _waits(board: Board) -> bool:
    return board.doorbell is not None and board.doorbell.is_waited_for
