"""Carry out revocations of what this worker's children hold: end what runs, hand back what has not started."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

from streamtasks.stores.base import SupervisorStore
from streamtasks.stores.types import Claimed

from ..process.board import Ask, Board, Slot

__all__ = ["Revocations"]

AGAIN_S: Final = 0.03

PATIENCE_S: Final = 1.0
"""A revoked message is looked for this long: its claim may be on its way to the child."""


class Revocations:
    """Revocations of one app's messages.

    Args:
        boards: the boards of the children that live now.
    """

    def __init__(self, store: SupervisorStore, boards: Callable[[], Iterable[Board]]) -> None:
        self._store = store
        self._boards = boards
        self._wanted: dict[tuple[str, str], tuple[bool, float]] = {}  # tag, id -> end it, until when to look for it
        self._news = asyncio.Event()

    def heard(self, tag: str, text: str) -> None:
        """Take in what the control channel tells: ``revoke <id> <0|1>``, 1: end it."""
        _, task_id, terminate = text.split(" ")
        self._wanted[tag, task_id] = (terminate == "1", time.monotonic() + PATIENCE_S)
        self._news.set()

    async def sleep(self) -> None:
        """Sleep until there is something to look for."""
        if self._wanted:
            await asyncio.sleep(AGAIN_S)
        else:
            await self._news.wait()

    async def run_once(self) -> int:
        """Look for what was heard of; return how many messages were acted upon.

        Raises:
            StoreError: the store could not be reached; call again.
        """
        self._news.clear()
        acted = 0
        for board in self._boards():
            doomed: list[tuple[int, Claimed, bool]] = []
            for slot, claimed in _held(board):
                wanted = self._wanted.get((board.tag, claimed.id))
                if wanted is not None:
                    doomed.append((slot, claimed, wanted[0]))
            for task_id in await self._end(board, doomed):
                self._wanted.pop((board.tag, task_id), None)
                acted += 1
        now = time.monotonic()
        self._wanted = {key: wanted for key, wanted in self._wanted.items() if wanted[1] > now}
        return acted

    async def look(self) -> int:
        """Ask the store about all that is held, because news may have been lost; return how many were acted upon."""
        acted = 0
        for board in self._boards():
            held = _held(board)
            if not held:
                continue
            answers = await self._store.doomed(board.tag, [claimed for _, claimed in held])
            doomed = [
                (slot, claimed, answer == "terminate")
                for (slot, claimed), answer in zip(held, answers, strict=True)
                if answer
            ]
            acted += len(await self._end(board, doomed))
        return acted

    async def _end(self, board: Board, doomed: list[tuple[int, Claimed, bool]]) -> list[str]:
        """End what runs, if it is to be ended, and hand back what has not started; return what needs no other look."""
        if not doomed:
            return []
        back: list[Claimed] = []
        done: list[str] = []
        with board.locked(timeout_s=0.05) as got:
            for slot, claimed, terminate in doomed:
                state, (started, _), there = board.states()[slot], board.times(slot), board.claimed(slot)
                if (there.id, there.token) != (claimed.id, claimed.token):
                    continue  # it has ended, and its slot was used again
                if state == Slot.RUNNING:
                    if terminate:
                        board.ask(slot, started, Ask.REVOKED)
                    done.append(claimed.id)
                elif state == Slot.CLAIMED and got:
                    board.set_returned(slot)
                    back.append(claimed)
        if back:
            await self._store.hand_back(board.tag, back)
        return done + [claimed.id for claimed in back]


def _held(board: Board) -> list[tuple[int, Claimed]]:
    """Return what a child has claimed or runs. It may be half of one message and half of another: look again."""
    found = []
    for slot, state in enumerate(board.states()):
        if state in (Slot.CLAIMED, Slot.RUNNING):
            try:
                found.append((slot, board.claimed(slot)))
            except ValueError:
                continue
    return found
