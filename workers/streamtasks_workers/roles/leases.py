"""Renew the leases of what is in flight."""

from __future__ import annotations

import asyncio
from typing import Final

from ..process.board import Board, Slot
from ..process.boot_clock import boot_ns
from .base import Role, ServedApp

__all__ = ["Leases"]

REPLY_S: Final = 0.25
"""For so long a settled attempt may look as if it ran, seconds: until its child has read the reply."""


class Leases(Role):
    """The leases of one app's children."""

    per_shard = False

    def __init__(self, app: ServedApp, tag: str = "") -> None:
        super().__init__(app, tag)
        self.interval_s = app.settings.lease_s / 3

    async def run_once(self) -> None:
        """Renew all; kill each child that runs what belongs to another worker."""
        for child in list(self.app.children.values()):
            board, in_flight = child.board, child.watch.in_flight()
            if not in_flight:
                continue
            asked_at = boot_ns()
            answers = await self.store.renew(board.tag, in_flight)
            if all(answers):
                board.renewed(asked_at)
            lost = {token for token, held in zip(in_flight, answers, strict=True) if not held}
            # An outcome too large for the board shows as running until the child has read that it is settled.
            if not lost or not (running := _running(board, lost)):
                continue
            await asyncio.sleep(REPLY_S)
            if running & _running(board, lost):
                self.app.kill(board, "fenced: its claim belongs to another worker")


def _running(board: Board, tokens: set[str]) -> set[tuple[int, int]]:
    """Return the attempts with one of these tokens that run: slot and start."""
    return {
        (slot, board.times(slot)[0])
        for slot, state in enumerate(board.states())
        if state == Slot.RUNNING and board.claimed(slot).token in tokens and not board.enforced(slot)
    }
