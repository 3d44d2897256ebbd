"""Renew the leases of what is in flight."""

from __future__ import annotations

from ..process.board import Board, Slot
from ..process.boot_clock import boot_ns
from .base import Role, ServedApp

__all__ = ["Leases"]


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
            if lost and _runs_one_of(board, lost):
                self.app.kill(board, "fenced: its claim belongs to another worker")


def _runs_one_of(board: Board, tokens: set[str]) -> bool:
    """Whether one of these still runs; what has been settled since the look is not lost."""
    return any(
        state == Slot.RUNNING and board.claimed(slot).token in tokens and not board.enforced(slot)
        for slot, state in enumerate(board.states())
    )
