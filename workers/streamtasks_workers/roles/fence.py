"""Fence the worker off: end attempts whose leases could not be renewed for too long."""

from __future__ import annotations

from ..process.board import Slot
from ..process.boot_clock import boot_ns
from .base import Role, ServedApp

__all__ = ["Fence"]


class Fence(Role):
    """The fence of one app's children. It works without the store."""

    per_shard = False

    def __init__(self, app: ServedApp, tag: str = "") -> None:
        super().__init__(app, tag)
        self.interval_s = min(1.0, app.settings.lease_s / 10)
        self._after_s = app.options.fence_after_s or app.settings.lease_s

    async def run_once(self) -> None:
        """Kill each child that runs something without a lease."""
        now = boot_ns()
        for child in self.app.children.values():
            board = child.board
            running = (slot for slot, state in enumerate(board.states()) if state == Slot.RUNNING)
            if any(not board.enforced(slot) and now - board.held_since(slot) > self._after_s * 1e9 for slot in running):
                if self.app.counters is not None:
                    self.app.counters.keeper.count("fenced", "no_renewal")
                child.kill(f"fenced: no renewal for {self._after_s:g} s")
