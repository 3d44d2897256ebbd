"""Settle, charge or hand back all that an ended child held."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Iterable

from streamtasks.exceptions import WorkerCrashed
from streamtasks.protocol.errors import describe
from streamtasks.protocol.reports import attempt_report
from streamtasks.stores.types import Charge, ClaimId, Settled

from ..executor.outcomes import Outcomes
from ..process.board import Board, Interrupt, Slot
from ..process.log_records import fields_of
from .base import ServedApp
from .keeper_outcomes import enforced_outcome, log_enforced, started_ms_of, wall_ms
from .shards import on_each

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
        app.rings[board.number] = board.lines  # it may have lived for a moment only
        self._store = app.store
        self._ended = app.ended
        self._counters = app.counters
        self._settings = app.settings
        self._board = board
        self._pid = pid
        self._how = how
        self._charged = charged

    async def settle(self) -> int:
        """Do it all; safe to repeat. Return how many messages it held."""
        board = self._board
        held: dict[int, list[int]] = {}
        for slot, state in enumerate(board.states()):
            held.setdefault(state, []).append(slot)
        running = held.get(Slot.RUNNING, [])
        enforced = [slot for slot in running if board.enforced(slot)]
        await on_each(self._by_tag(held.get(Slot.FINISHED, ())), self._settle_finished)
        await on_each(self._by_tag(enforced), self._settle_enforced)
        self._count_enforced(enforced)
        if self._charged:
            await on_each(self._by_tag(slot for slot in running if slot not in enforced), self._charge)
        # What has ended or was charged is in nobody's hands any more and stays as it is, but with it the claim is
        # released: a suspect's would keep the worker from the next suspect until its lease ends. The last claim may
        # have been on its way when the child died: the store knows what was in it.
        all_held = [slot for state, slots in held.items() if state not in (Slot.FREE, Slot.RETURNED) for slot in slots]
        asked = {tag: list[int]() for tag in (board.tag, *board.unsure())}
        await on_each(asked | self._by_tag(all_held), self._hand_back)
        self._ended.append(board.consumer)
        return len(all_held)

    def _by_tag(self, slots: Iterable[int]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for slot in slots:
            found.setdefault(self._board.tag_of(slot), []).append(slot)
        return found

    def _settle_finished(self, tag: str, slots: list[int]) -> Awaitable[list[Settled]]:
        outcomes = [self._board.outcome(slot) for slot in slots]
        return self._store.settle(tag, outcomes, callbacks="revoked")

    async def _settle_enforced(self, tag: str, slots: list[int]) -> None:
        board = self._board
        outcomes = [enforced_outcome(board, slot, Interrupt(board.enforced(slot)), self._settings) for slot in slots]
        answers = await self._store.settle(tag, outcomes, callbacks="all")
        for slot, answer in zip(slots, answers, strict=True):
            if answer is Settled.DONE:  # not what was settled, and logged, while the child lived on
                log_enforced(board, slot, Interrupt(board.enforced(slot)), self._settings)

    def _count_enforced(self, slots: Iterable[int]) -> None:
        if self._counters is None:
            return
        board = self._board
        for slot in slots:
            outcome = enforced_outcome(board, slot, Interrupt(board.enforced(slot)), self._settings)
            self._counters.enforced(board.number, slot, outcome.state, time.monotonic_ns() - board.times(slot)[0])

    def _hand_back(self, tag: str, slots: list[int]) -> Awaitable[list[bool]]:
        board = self._board
        back = [board.claimed(slot) for slot in slots]
        sequence = board.sequences()[0] if tag == board.tag else board.unsure().get(tag)
        if sequence is None:
            return self._store.hand_back(tag, back)
        return self._store.hand_back(tag, back, invalidate=ClaimId(board.consumer, sequence), gone=True)

    async def _charge(self, tag: str, slots: list[int]) -> None:
        running = [(self._board.claimed(slot), started_ms_of(self._board, slot)) for slot in slots]
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
        answers = await self._store.charge(tag, attempts)
        dead = []
        for slot, (claimed, started_ms, _), answer in zip(slots, attempts, answers, strict=True):
            logger.warning(
                "child %d ended with %s while it ran task %s: %s", self._pid, self._how, claimed.id, _MEANING[answer],
                extra=fields_of(claimed, consumer),
            )  # fmt: skip
            if answer is Charge.LIMIT:
                dead.append(outcomes.dead(claimed, crash, "crashed", started_ms))
            if self._counters is not None:
                self._counters.charged(
                    self._board.number, slot, answer, time.monotonic_ns() - self._board.times(slot)[0]
                )
        if dead:
            await self._store.settle(tag, dead, callbacks="all")


_MEANING = {
    Charge.STALE: "it belongs to another worker by now",
    Charge.AT_ONCE: "it runs again at once",
    Charge.AFTER_DELAY: "it runs again after a delay",
    Charge.LIMIT: "it crashed once too often and becomes a dead letter",
}
