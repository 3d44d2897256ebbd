"""Reclaim the expired claims of workers that vanished."""

from __future__ import annotations

import logging

from streamtasks.exceptions import WorkerLost

from ..executor.outcomes import Outcomes
from ..process.log_records import fields_of
from .base import Role, ServedApp
from .keeper_outcomes import wall_ms

__all__ = ["Reclaimer"]

logger = logging.getLogger("streamtasks.worker")


class Reclaimer(Role):
    """Reclaiming on one shard."""

    wake_on = "lease"  # which beats announce

    def __init__(self, app: ServedApp, tag: str) -> None:
        super().__init__(app, tag)
        if len(app.tags) == 1:
            self.interval_s = min(app.settings.idle_poll_s, app.settings.lease_s / 4)
        self._outcomes = Outcomes(app.settings, "", wall_ms)

    async def run_once(self) -> None:
        """Reclaim what has expired; settle what was lost too often as dead."""
        reclaim = await self.store.reclaim(self.tag)
        counters = self.app.counters
        if reclaim.reclaimed:
            if counters is not None:
                counters.keeper.count("reclaimed", "", reclaim.reclaimed)
            logger.warning("reclaimed %d messages of a worker that vanished", reclaim.reclaimed)
        dead = []
        for lost in reclaim.exhausted:
            logger.error(
                "task %s vanished with its worker once too often and becomes a dead letter",
                lost.id,
                extra=fields_of(lost),
            )
            error = WorkerLost(f"The worker of this task vanished {self.app.settings.lost_limit} times while it ran.")
            dead.append(self._outcomes.dead(lost, error, "worker lost", lost.started_ms))
            if counters is not None:
                counters.keeper.count("dead", "worker lost")
        if dead:
            await self.store.settle(self.tag, dead, callbacks="all")
