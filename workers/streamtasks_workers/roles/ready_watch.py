"""Look where there is something to claim, and wake the children that wait for it."""

from __future__ import annotations

import time
from typing import Final

from ..process.board import Board
from ..process.shard_table import NOTHING, ShardTable, priority_code
from .base import Role, ServedApp

__all__ = ["ReadyWatch"]

BUSY_LOOK_S: Final = 0.04
"""While a child is busy, each shard on which something is ready is looked at this often, seconds: a better priority is
known within 50 ms. A push tells of the first message on a shard on which nothing was ready."""

BUSY_LOOK_AT_ALL_S: Final = 2.0
"""So often at all of them, in case a push was lost."""

IDLE_LOOK_S: Final = 3600.0
"""So often while all children wait: beats say where something is ready."""

AFTER_PUSH_S: Final = 0.1
"""A child that a push has woken is given so long before a look wakes another one for the same shard, seconds."""

UNANSWERED_LOOK_S: Final = 1.0
"""So often then at a shard that has not answered."""

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
        self._all_at_ns = 0  # when all were looked at
        self._wanted = set(app.tags)  # those to be looked at in any case
        self._rung: dict[int, tuple[int, float]] = {}  # place -> the code for which a child was woken, and when
        self._pushed: dict[int, float] = {}  # place -> when a push has woken a child
        self.interval_s = IDLE_LOOK_S

    def heard(self, tag: str, text: str) -> None:
        """Wake a child: something has become ready on a shard."""
        if self.app.table is not None:
            self.app.table.set_rung(self._places[tag])
            if self._wake_child():
                self._pushed[self._places[tag]] = time.monotonic()
        super().heard(tag, text)

    def missed(self, tag: str) -> None:
        """See `Role.missed`."""
        self._wanted.update((tag,) if tag else self._places)
        super().missed(tag)

    def wake_for(self, tag: str) -> None:
        """See `Role.wake_for`."""
        self._wanted.add(tag)
        super().wake_for(tag)

    async def run_once(self) -> float | None:
        """Look at the shards on which something may be ready."""
        table = self.app.table
        if table is None:
            return None
        now_ns = time.monotonic_ns()
        early_s = BUSY_LOOK_S - (now_ns - self._asked_ns) / 1e9
        if early_s > 0:
            return early_s
        self._asked_ns = now_ns
        if self._is_busy and now_ns - self._all_at_ns >= BUSY_LOOK_AT_ALL_S * 1e9:
            self._wanted.update(self._places)
        tags = [tag for tag, place in self._places.items() if tag in self._wanted or table.ready_code(place) != NOTHING]
        if len(tags) == len(self._places):
            self._all_at_ns = now_ns
        self._wanted.clear()
        answers: dict[str, int | None] = {}
        try:
            if tags:
                answers = await self.store.ready(self.app.options.filter, tags)
        finally:
            self._wanted.update(tag for tag in tags if tag not in answers)
        for tag in tags:
            table.set_best(self._places[tag], priority_code(answers.get(tag)), now_ns)
        self._wake_children(table)
        if self._is_busy:
            return BUSY_LOOK_S
        return UNANSWERED_LOOK_S if self._wanted else self.interval_s

    @property
    def _is_busy(self) -> bool:
        return any(not _waits(board) for board in self.app.boards)

    def _wake_children(self, table: ShardTable) -> None:
        """Wake a child for each shard on which something is ready, if none was woken for it lately."""
        now = time.monotonic()
        for place in range(table.shards):
            code = table.ready_code(place)
            known, at = self._rung.get(place, (NOTHING, 0.0))
            if code == NOTHING:
                self._rung.pop(place, None)
            elif now - self._pushed.get(place, 0.0) < AFTER_PUSH_S:
                continue  # that child is on its way, and says itself if it leaves something behind
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
