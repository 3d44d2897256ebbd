"""Renew the leases of what is in flight; if that is not possible for too long, fence ourselves off."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from streamtasks.stores.base import SupervisorStore

from ..process.board import Board, Slot
from .watch import Watch

__all__ = ["Leases"]


class Leases:
    """The leases of one app's children.

    Args:
        watches: the watches of the children that live now.
        kill: called with a board and the reason when its child must not go on.
        fence_after_s: how long tasks may run on without a renewal, seconds.
    """

    def __init__(
        self,
        store: SupervisorStore,
        watches: Callable[[], Iterable[tuple[Board, Watch]]],
        kill: Callable[[Board, str], None],
        fence_after_s: float,
    ) -> None:
        self._store = store
        self._watches = watches
        self._kill = kill
        self._fence_after_s = fence_after_s

    async def run_once(self) -> int:
        """Renew all; return how many leases were renewed.

        Raises:
            StoreError: the store could not be reached.
        """
        renewed = 0
        for board, watch in list(self._watches()):
            in_flight = watch.in_flight()
            if not in_flight:
                continue
            asked_at = time.monotonic_ns()
            answers = await self._store.renew(board.tag, in_flight)
            if all(answers):
                board.renewed(asked_at)
            renewed += sum(answers)
            lost = {token for token, held in zip(in_flight, answers, strict=True) if not held}
            if lost and self._runs_one_of(board, lost):
                self._kill(board, "fenced: its claim belongs to another worker")
        return renewed

    def check_fence(self) -> int:
        """End attempts whose leases could not be renewed for too long; return how many children were ended."""
        now, ended = time.monotonic_ns(), 0
        for board, _ in list(self._watches()):
            running = (slot for slot, state in enumerate(board.states()) if state == Slot.RUNNING)
            if any(
                not board.given_up(slot) and now - board.held_since(slot) > self._fence_after_s * 1e9
                for slot in running
            ):
                self._kill(board, f"fenced: no renewal for {self._fence_after_s:g} s")
                ended += 1
        return ended

    @staticmethod
    def _runs_one_of(board: Board, tokens: set[str]) -> bool:
        """Whether one of these still runs; what has been settled since the look is not lost."""
        states = board.states()
        return any(
            state == Slot.RUNNING and board.claimed(slot).token in tokens and not board.given_up(slot)
            for slot, state in enumerate(states)
        )
