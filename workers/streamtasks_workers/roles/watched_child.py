"""One living child as the keeper sees it: its board is looked at every tick."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

from streamtasks.settings import StoreSettings
from streamtasks.stores.supervisor_store import SupervisorStore

from ..process.board import Board
from ..process.worker_counters import WorkerCounters
from .enforcer import Enforcer
from .watch import Watch

__all__ = ["WatchedChild"]

CUT_OFF_S: Final = 10.0
"""A child that does not reach the store for so long, seconds, while the keeper does, is replaced."""

FRESH_S: Final = 5.0
"""The keeper reaches the store if it has had an answer within this time, seconds."""

LATER_S: Final = 0.5
"""The keeper's answer shows that a child alone is cut off if it came so much later than that child's failure, seconds.

When a server ends, replies that are on their way arrive after others have lost their connections.
"""


class WatchedChild:
    """A child, its watch and its enforcer. A slow store delays only the board it was asked for.

    Args:
        board: of the child.
        store: of its app.
        settings: of the store.
        request: asks the supervisor for something, with the reason; see `ProcessTable.obey`.
        single: whether the child runs one attempt at a time.
        counters: of attempts, for metrics and charts; None: there is no worker.

    Attributes:
        watch: looks at what the child holds and has finished.
        enforcer: ends what must end.
    """

    def __init__(
        self,
        board: Board,
        store: SupervisorStore,
        settings: StoreSettings,
        request: Callable[[str, str], None],
        *,
        single: bool,
        counters: WorkerCounters | None = None,
    ) -> None:
        self.board = board
        self.watch = Watch(store, board)
        self.enforcer = Enforcer(store, settings, board, single=single, request=request, counters=counters)
        self._request = request
        self._answered_at = store.answered_at
        self.born_ns = time.monotonic_ns()
        self._watching = self._enforcing = self._replaced = self._retired = False

    def look(self, *, stopping: bool) -> Iterator[Coroutine[Any, Any, None]]:
        """Look at the board; yield what must be done with the store, beside all else."""
        if not self._watching and self.watch.wants_look(stopping=stopping):
            self._watching = True
            yield self._watch(stopping=stopping)
        if self.board.aged and not self._replaced:
            self._replaced = True
            self._request("replace", "it has reached its age or size")
        self._look_at_exchanges(stopping=stopping)
        slots = self.enforcer.look()
        if slots and not self._enforcing:
            self._enforcing = True
            yield self._enforce(slots)

    def kill(self, why: str) -> None:
        """Let the supervisor end it at once."""
        self._request("kill", why)

    def _look_at_exchanges(self, *, stopping: bool) -> None:
        """Let a child be replaced that alone does not reach the store: its descriptors may be used up."""
        answered_ns, away_ns = self.board.exchanges()
        cut_off_ns = self.board.cut_off_since()
        if not away_ns:
            if cut_off_ns:
                self.board.set_cut_off_since(0)
            return
        ours, now = self._answered_at(self.board.tag), time.monotonic()
        if ours - away_ns / 1e9 < LATER_S or now - ours > FRESH_S:
            if cut_off_ns:
                self.board.set_cut_off_since(0)
        elif not cut_off_ns:
            self.board.set_cut_off_since(round(now * 1e9))
        elif now - cut_off_ns / 1e9 > CUT_OFF_S and not (self._retired or stopping):
            self._retired = True
            last = (
                f"its last answer came {now - answered_ns / 1e9:.0f} s ago" if answered_ns else "it never had an answer"
            )
            self._request("retire", f"it does not reach the store, which the keeper reaches; {last}")

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
