"""Renew the leases of what is in flight."""

from __future__ import annotations

import asyncio
from typing import Final

from ..process.board import Board, Slot
from ..process.boot_clock import boot_ns
from .base import Role, ServedApp
from .watched_child import WatchedChild

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
        children = [(child, child.watch.in_flight()) for child in self.app.children.values()]
        parts = [(child, tag, slots_of) for child, in_flight in children for tag, slots_of in in_flight.items()]
        if len({tag for _, tag, _ in parts}) < 2:
            for part in parts:
                await self._renew(*part)
            return
        # At once: a shard that does not answer must not keep the claims on others from being renewed.
        for answer in await asyncio.gather(*(self._renew(*part) for part in parts), return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    async def _renew(self, child: WatchedChild, tag: str, slots_of: dict[str, list[int]]) -> None:
        board, asked_at = child.board, boot_ns()
        answers = await self.store.renew(tag, list(slots_of))
        lost = {token for token, held in zip(slots_of, answers, strict=True) if not held}
        board.renewed((slot for token, slots in slots_of.items() if token not in lost for slot in slots), asked_at)
        if not lost:
            return
        # An outcome too large for the board shows as running until the child has read that it is settled.
        if not (running := _running(board, lost)):
            return
        await asyncio.sleep(REPLY_S)
        if running & _running(board, lost):
            if self.app.counters is not None:
                self.app.counters.keeper.count("fenced", "renew")
            child.kill("fenced: its claim belongs to another worker")


def _running(board: Board, tokens: set[str]) -> set[tuple[int, int]]:
    """Return the attempts with one of these tokens that run: slot and start."""
    return {
        (slot, board.times(slot)[0])
        for slot, state in enumerate(board.states())
        if state == Slot.RUNNING and board.claimed(slot).token in tokens and not board.enforced(slot)
    }
