"""Carry out revocations of what this worker's children hold: end what runs, hand back what has not started."""

from __future__ import annotations

import time
from typing import Final

from streamtasks.stores.types import Claimed

from ..process.board import Board, Interrupt, Slot
from .base import Role, ServedApp
from .shards import on_each

__all__ = ["Revocations"]

AGAIN_S: Final = 0.03

PATIENCE_S: Final = 1.0
"""A revoked message is looked for this long: its claim may be on its way to the child."""


class Revocations(Role):
    """Revocations of one app's messages."""

    per_shard = False
    wake_on = "revoke"

    def __init__(self, app: ServedApp, tag: str = "") -> None:
        super().__init__(app, tag)
        self.interval_s = app.settings.lease_s / 3
        self._wanted: dict[tuple[str, str], tuple[bool, float]] = {}  # tag, id -> end it, until when to look for it
        self._ask_at = 0.0

    def heard(self, tag: str, text: str) -> None:
        """Take in ``revoke <id> <0|1>``; 1: end it even if it runs."""
        _, task_id, terminate = text.split(" ")
        self._wanted[tag, task_id] = (terminate == "1", time.monotonic() + PATIENCE_S)
        super().heard(tag, text)

    def missed(self, tag: str) -> None:
        """See `Role.missed`."""
        self._ask_at = 0.0
        super().missed(tag)

    async def run_once(self) -> float:
        """Look for what was heard of, and from time to time ask the store about all that is held."""
        if self._ask_at <= time.monotonic():
            await self._ask_store()
            self._ask_at = time.monotonic() + self.interval_s
        for board in self.app.boards:
            found = [
                (slot, claimed, wanted[0])
                for tag, held in _held(board).items()
                for slot, claimed in held
                if (wanted := self._wanted.get((tag, claimed.id))) is not None
            ]
            for key in await self._end(board, found):
                self._wanted.pop(key, None)
        now = time.monotonic()
        self._wanted = {key: wanted for key, wanted in self._wanted.items() if wanted[1] > now}
        return AGAIN_S if self._wanted else max(0.0, self._ask_at - now)

    async def _ask_store(self) -> None:
        """Interrupt the store about all that is held, because a control message may have been lost."""
        for board in self.app.boards:
            held = _held(board)
            answers = await on_each(
                held, lambda tag, some: self.store.revocations(tag, [claimed for _, claimed in some])
            )
            revoked = [
                (slot, claimed, answer == "terminate")
                for tag, some in held.items()
                for (slot, claimed), answer in zip(some, answers[tag], strict=True)
                if answer
            ]
            await self._end(board, revoked)

    async def _end(self, board: Board, revoked: list[tuple[int, Claimed, bool]]) -> list[tuple[str, str]]:
        """End what runs, if that is wanted, and hand back what has not started.

        Return tag and id of those that need no other look.
        """
        if not revoked:
            return []
        back: dict[str, list[Claimed]] = {}
        done: list[tuple[str, str]] = []
        with board.locked(timeout_s=0.05) as got:
            for slot, claimed, terminate in revoked:
                state, (started, _), there = board.states()[slot], board.times(slot), board.claimed(slot)
                if (there.id, there.token) != (claimed.id, claimed.token):
                    continue  # it has ended, and its slot was used again
                if state == Slot.RUNNING:
                    if terminate:
                        board.request_interrupt(slot, started, Interrupt.REVOKED)
                    done.append((board.tag_of(slot), claimed.id))
                elif state == Slot.CLAIMED and got:
                    board.set_returned(slot)
                    back.setdefault(board.tag_of(slot), []).append(claimed)
        await on_each(back, self.store.hand_back)
        return done + [(tag, claimed.id) for tag, some in back.items() for claimed in some]


def _held(board: Board) -> dict[str, list[tuple[int, Claimed]]]:
    """Return what a child has claimed or runs, by shard.

    It may be half of one message and half of another: look again.
    """
    found: dict[str, list[tuple[int, Claimed]]] = {}
    for slot, state in enumerate(board.states()):
        if state in (Slot.CLAIMED, Slot.RUNNING):
            try:
                found.setdefault(board.tag_of(slot), []).append((slot, board.claimed(slot)))
            except ValueError:
                continue
    return found
