"""Enforce time limits and revocations on what runs in one child: first interrupt, then end.

Requests and enforced outcomes stand on the board, so that the next keeper goes on where this one ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from streamtasks.settings import StoreSettings
from streamtasks.stores.supervisor_store import SupervisorStore

from ..process.board import Board, Interrupt, Slot
from ..process.worker_counters import WorkerCounters
from .keeper_outcomes import enforced_outcome, log_enforced

__all__ = ["Enforcer"]

ANSWER_NS: Final = 300_000_000
"""A child that runs many attempts sees a request within this time, unless one of them holds the interpreter."""

LIMIT_NS: Final = 400_000_000
"""An attempt that is over its limit may take this long to end when it is cancelled."""

REVOKED_NS: Final = 1_000_000_000
"""One that is revoked may clean up for so long."""

AGAIN_NS: Final = 100_000_000
TIMES: Final = 5
"""A request is repeated so often: the first signal may have come before the task's own code began."""


@dataclass(slots=True)
class _Case:
    """An interrupt of one attempt."""

    started_ns: int
    kind: Interrupt
    since_ns: int
    asked_ns: int
    asked: int = 1
    settled: bool = False


class Enforcer:
    """The limits of one child's attempts.

    Args:
        store: where outcomes of attempts that do not end are written.
        settings: of the store.
        board: the child's.
        single: whether the child runs one attempt at a time, so that ending one is ending the child. In others that
            holds for attempts that run alone, see `Board.runs_alone`.
        request: asks the supervisor for something, with the reason: ``"interrupt"`` sends the child the signal that
            makes it look at its board, ``"retire"`` replaces it and lets it finish its other attempts, ``"kill"``
            ends it at once.
        counters: of attempts, for metrics and charts; None: there is no worker.
    """

    def __init__(
        self,
        store: SupervisorStore,
        settings: StoreSettings,
        board: Board,
        *,
        single: bool,
        request: Callable[[str, str], None],
        counters: WorkerCounters | None = None,
    ) -> None:
        self._store = store
        self._counters = counters
        self._settings = settings
        self._board = board
        self._single = single
        self._request = request
        self._cases: dict[int, _Case] = {}
        self._killed = False

    def look(self) -> list[int]:
        """Request interrupts, and end what ignored them; return the slots that `run_once` must settle."""
        board = self._board
        if not board.watched or self._killed:
            return []
        states = board.states()
        now, interrupt = time.monotonic_ns(), False
        settle: list[int] = []
        for slot in board.overdue((slot for slot, state in enumerate(states) if state == Slot.RUNNING), now):
            started = board.times(slot)[0]
            kind = self._wanted(slot, started, now)
            if not kind:
                continue
            case = self._cases.get(slot)
            if case is None or case.started_ns != started or case.kind < kind:
                self._cases[slot] = case = _Case(started, kind, now, now)
                if not (kind == Interrupt.HARD_LIMIT and self._is_single(slot)):
                    board.request_interrupt(slot, started, kind)
                    interrupt = True
            elif case.asked < TIMES and now - case.asked_ns >= AGAIN_NS:
                case.asked, case.asked_ns = case.asked + 1, now
                interrupt = True
            if kind > Interrupt.SOFT_LIMIT and not case.settled and self._had_its_time(slot, case, now):
                if self._is_single(slot) or self._board.acknowledged_at() < case.since_ns:
                    self._board.enforce(slot, started, kind)
                    self._end(self._why(slot, kind))
                    return []
                settle.append(slot)
        if interrupt:
            self._request("interrupt", "")
        if any(case.settled for case in self._cases.values()):
            self._end_abandoned(states)
        return settle

    def _wanted(self, slot: int, started: int, now: int) -> Interrupt:
        soft, hard, _ = self._board.limits(slot)
        if hard and now >= hard:
            kind = Interrupt.HARD_LIMIT
        elif soft and now >= soft:
            kind = Interrupt.SOFT_LIMIT
        else:
            kind = Interrupt.NONE
        return max(kind, Interrupt(self._board.requested_interrupt(slot, started)))

    def _is_single(self, slot: int) -> bool:
        return self._single or self._board.runs_alone(slot)

    def _had_its_time(self, slot: int, case: _Case, now: int) -> bool:
        """Whether an attempt had time enough to end by itself."""
        if case.kind == Interrupt.REVOKED:
            time_ns = REVOKED_NS
        elif self._is_single(slot):
            time_ns = 0
        else:
            deaf = self._board.acknowledged_at() < case.since_ns
            time_ns = ANSWER_NS if deaf else LIMIT_NS
        return now - case.since_ns >= time_ns

    def _end(self, why: str) -> None:
        self._killed = True
        self._request("kill", why)

    def _why(self, slot: int, kind: Interrupt) -> str:
        what = "was revoked" if kind == Interrupt.REVOKED else "ran for longer than its time limit"
        return f"task {self._board.claimed(slot).id} {what}"

    async def run_once(self, slots: list[int]) -> int:
        """Settle attempts that live on although they had to end, and replace their child; return how many.

        Raises:
            StoreError: the store could not be reached; call again.
        """
        settled = 0
        for slot in slots:
            case = self._cases.get(slot)
            if case is None or case.settled or self._board.times(slot)[0] != case.started_ns:
                continue
            if self._board.states()[slot] != Slot.RUNNING:
                continue  # it ended after all
            self._board.enforce(slot, case.started_ns, case.kind)
            tag, outcome = self._board.tag_of(slot), enforced_outcome(self._board, slot, case.kind, self._settings)
            self._request("retire", f"{self._why(slot, case.kind)} and does not end")
            await self._store.settle(tag, [outcome], callbacks="all")
            log_enforced(self._board, slot, case.kind, self._settings)
            if self._counters is not None:
                ran_ns = time.monotonic_ns() - case.started_ns
                self._counters.enforced(self._board.number, slot, outcome.state, ran_ns)
            case.settled = True
            settled += 1
        return settled

    def _end_abandoned(self, states: bytes) -> None:
        """End the child if nothing is left in it but attempts whose outcomes were enforced."""
        busy = [slot for slot, state in enumerate(states) if state not in (Slot.FREE, Slot.RETURNED)]
        if busy and all(
            states[slot] == Slot.RUNNING
            and self._board.enforced(slot)
            and (case := self._cases.get(slot)) is not None
            and case.settled
            for slot in busy
        ):
            self._end("nothing is left in it but attempts that do not end")
