"""Clear up after a child: settle, charge or hand back all that was in its hands."""

from __future__ import annotations

import logging
import time

from streamtasks.exceptions import WorkerCrashed
from streamtasks.protocol.errors import describe
from streamtasks.protocol.json import dumps
from streamtasks.settings import StoreSettings
from streamtasks.stores.base import SupervisorStore
from streamtasks.stores.types import Charge, Claimed, Outcome, Void

from ..process.board import Ask, Board, Slot
from .keeper_outcomes import verdict_on

__all__ = ["Aftermath"]

logger = logging.getLogger("streamtasks.worker")


class Aftermath:
    """What follows a child's end.

    Args:
        how: how it ended, for the report: ``"signal 9"``.
        charged: whether its running attempts count as crashed; not so if the worker itself ended it. Those it was
            ended for have a verdict on the board, which is their outcome.
    """

    def __init__(
        self, store: SupervisorStore, settings: StoreSettings, board: Board, pid: int, how: str, *, charged: bool
    ) -> None:
        self._store = store
        self._settings = settings
        self._board = board
        self._tag = board.tag
        self._pid = pid
        self._how = how
        self._charged = charged

    async def run_once(self) -> int:
        """Do it all; safe to repeat. Return how many messages were in its hands."""
        board = self._board
        held: dict[int, list[int]] = {}
        for slot, state in enumerate(board.states()):
            held.setdefault(state, []).append(slot)
        finished = [board.outcome(slot) for slot in held.get(Slot.FINISHED, ())]
        given_up = {slot: Ask(why) for slot in held.get(Slot.RUNNING, ()) if (why := board.given_up(slot))}
        verdicts = [verdict_on(board, slot, why, self._settings) for slot, why in given_up.items()]
        running = [
            (board.claimed(slot), board.times(slot)[0]) for slot in held.get(Slot.RUNNING, ()) if slot not in given_up
        ]
        back = [board.claimed(slot) for slot in held.get(Slot.CLAIMED, ())]
        if finished:
            await self._store.settle(self._tag, finished, callbacks="revoked")
        if verdicts:
            await self._store.settle(self._tag, verdicts, callbacks="all")
        if running and self._charged:
            await self._charge(running)
        elif running:
            back += [claimed for claimed, _ in running]
        sent, _, _, _ = board.sequences()
        # Its last claim may have been on its way when it died: the store knows what was in it.
        await self._store.hand_back(self._tag, back, void=Void(board.consumer, sent), gone=True)
        return len(finished) + len(verdicts) + len(running) + len(back)

    async def _charge(self, running: list[tuple[Claimed, int]]) -> None:
        now_ms, now_ns = time.time_ns() // 1_000_000, time.monotonic_ns()
        error = describe(WorkerCrashed(f"The process that ran this task (pid {self._pid}) ended with {self._how}."))
        attempts = []
        for claimed, started_ns in running:
            started_ms = now_ms - (now_ns - started_ns) // 1_000_000
            report = {
                "kind": "CRASH",
                "attempt": claimed.attempt,
                "worker": self._board.consumer,
                "started": started_ms,
                "finished": now_ms,
                "error": error,
            }
            attempts.append((claimed, started_ms, dumps(report).decode()))
        answers = await self._store.charge(self._tag, attempts)
        dead = []
        for (claimed, started_ms, _), answer in zip(attempts, answers, strict=True):
            logger.warning(
                "child %d ended with %s while it ran task %s: %s", self._pid, self._how, claimed.id, _MEANING[answer]
            )
            if answer is Charge.LIMIT:
                dead.append(
                    Outcome(
                        claimed.id,
                        claimed.token,
                        claimed.stream,
                        claimed.entry,
                        claimed.attempt,
                        claimed.first_started_ms,
                        started_ms,
                        "DEAD",
                        dumps({"e": error}),
                        "crashed",
                        self._settings.keep_ms(success=False),
                    )
                )
        if dead:
            await self._store.settle(self._tag, dead, callbacks="all")


_MEANING = {
    Charge.STALE: "it belongs to another worker by now",
    Charge.AT_ONCE: "it runs again at once",
    Charge.AFTER_DELAY: "it runs again after a delay",
    Charge.LIMIT: "it crashed once too often and becomes a dead letter",
}
