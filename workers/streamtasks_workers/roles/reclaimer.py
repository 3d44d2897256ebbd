"""Take over the claims of workers that vanished."""

from __future__ import annotations

import logging

from streamtasks.exceptions import WorkerLost
from streamtasks.settings import StoreSettings
from streamtasks.stores.base import SupervisorStore

from ..executor.outcomes import Outcomes
from .keeper_outcomes import wall_ms

__all__ = ["Reclaimer"]

logger = logging.getLogger("streamtasks.worker")


class Reclaimer:
    """Reclaiming on one shard."""

    def __init__(self, store: SupervisorStore, settings: StoreSettings, tag: str) -> None:
        self._store = store
        self._settings = settings
        self._tag = tag
        self._outcomes = Outcomes(settings, "", wall_ms)

    async def run_once(self) -> int:
        """Reclaim what has expired; return how many messages can be claimed again."""
        reclaim = await self._store.reclaim(self._tag)
        if reclaim.reclaimed:
            logger.warning("%d messages of a vanished worker are claimable again", reclaim.reclaimed)
        dead = []
        for lost in reclaim.exhausted:
            logger.error("task %s vanished with its worker once too often and becomes a dead letter", lost.id)
            error = WorkerLost(f"The worker of this task vanished {self._settings.lost_limit} times while it ran.")
            dead.append(self._outcomes.dead(lost, error, "worker lost", lost.started_ms))
        if dead:
            await self._store.settle(self._tag, dead, callbacks="all")
        return reclaim.reclaimed
