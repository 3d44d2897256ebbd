"""Settle, charge or hand back all that an ended child held."""

from __future__ import annotations

import logging

from streamtasks.exceptions import WorkerCrashed
from streamtasks.protocol.errors import describe
from streamtasks.protocol.reports import attempt_report
from streamtasks.stores.types import Charge, Claimed, ClaimId

from ..executor.outcomes import Outcomes
from ..process.board import Board, Interrupt, Slot
from .base import ServedApp
from .keeper_outcomes import enforced_outcome, started_ms_of, wall_ms

__all__ = ["EndedChild"]

logger = logging.getLogger("streamtasks.worker")


class EndedChild:
    """The board of a child that has ended.

    Args:
        app: the app that it served.
        board: its board.
        pid: its process id.
        how: how it ended, for the report: ``"signal 9"``.
        charged: whether its running attempts count as crashed; not so if the worker itself ended it. What it was
            ended for is noted on the board and gets the outcome of that.
    """

    def __init__(self, app: ServedApp, board: Board, pid: int, how: str, *, charged: bool) -> None:
        self._store = app.store
        self._settings = app.settings
        self._board = board
        self._tag = board.tag
        self._pid = pid
        self._how = how
        self._charged = charged

    async def settle(self) -> int:
        """Do it all; safe to repeat. Return how many messages it held."""
        board = self._board
        held: dict[int, list[int]] = {}
        for slot, state in enumerate(board.states()):
            held.setdefault(state, []).append(slot)
        finished = [board.outcome(slot) for slot in held.get(Slot.FINISHED, ())]
        enforced_slots = {slot: Interrupt(why) for slot in held.get(Slot.RUNNING, ()) if (why := board.enforced(slot))}
        enforced = [enforced_outcome(board, slot, why, self._settings) for slot, why in enforced_slots.items()]
        running = [
            (board.claimed(slot), started_ms_of(board, slot))
            for slot in held.get(Slot.RUNNING, ())
            if slot not in enforced_slots
        ]
        back = [board.claimed(slot) for slot in held.get(Slot.CLAIMED, ())]
        ended = [board.claimed(slot) for slot in (*held.get(Slot.FINISHED, ()), *held.get(Slot.RUNNING, ()))]
        if finished:
            await self._store.settle(self._tag, finished, callbacks="revoked")
        if enforced:
            await self._store.settle(self._tag, enforced, callbacks="all")
        if running and self._charged:
            await self._charge(running)
        sent, _, _, _ = board.sequences()
        # What has ended or was charged is in nobody's hands any more and stays as it is, but with it the claim is
        # released: a suspect's would keep the worker from the next suspect until its lease ends. The last claim may
        # have been on its way when the child died: the store knows what was in it.
        await self._store.hand_back(self._tag, [*back, *ended], invalidate=ClaimId(board.consumer, sent), gone=True)
        return len(back) + len(ended)

    async def _charge(self, running: list[tuple[Claimed, int]]) -> None:
        crash = WorkerCrashed(f"The process that ran this task (pid {self._pid}) ended with {self._how}.")
        error, consumer = describe(crash), self._board.consumer
        outcomes = Outcomes(self._settings, consumer, wall_ms)
        wire = self._settings.wire
        attempts = [
            (
                claimed,
                started_ms,
                attempt_report(wire, claimed.id, "CRASH", claimed.attempt, consumer, started_ms, wall_ms(), error),
            )
            for claimed, started_ms in running
        ]
        answers = await self._store.charge(self._tag, attempts)
        dead = []
        for (claimed, started_ms, _), answer in zip(attempts, answers, strict=True):
            logger.warning(
                "child %d ended with %s while it ran task %s: %s", self._pid, self._how, claimed.id, _MEANING[answer]
            )
            if answer is Charge.LIMIT:
                dead.append(outcomes.dead(claimed, crash, "crashed", started_ms))
        if dead:
            await self._store.settle(self._tag, dead, callbacks="all")


_MEANING = {
    Charge.STALE: "it belongs to another worker by now",
    Charge.AT_ONCE: "it runs again at once",
    Charge.AFTER_DELAY: "it runs again after a delay",
    Charge.LIMIT: "it crashed once too often and becomes a dead letter",
}
