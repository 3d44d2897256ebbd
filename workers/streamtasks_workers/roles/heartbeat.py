"""Keep the worker's entry in the registry alive."""

from __future__ import annotations

import os
import socket
import time
from typing import Any, Final

from streamtasks.protocol.task_digests import digests
from streamtasks.stores.inspection_types import LISTENS

from .base import Role, ServedApp

__all__ = ["Heartbeat"]

BEAT_S: Final = 5.0
MOST_BEAT_S: Final = 10.0
"""The longest pause between two beats, seconds: a worker that was silent for three of them counts as gone."""


class Heartbeat(Role):
    """The worker's entry on one shard, which also shows other workers that leases are renewed there."""

    def __init__(self, app: ServedApp, tag: str) -> None:
        super().__init__(app, tag)
        often_s = min(max(BEAT_S, app.settings.idle_poll_s), MOST_BEAT_S)
        self.interval_s = min(often_s, app.settings.lease_s / 6)
        self._about: dict[str, Any] = {
            "app": app.label,
            "host": socket.gethostname(),
            "pid": os.getppid(),
            "queues": list(app.options.filter.queues),
            "queue_mode": app.options.filter.mode,
            "tasks": digests(app.tasks),
            LISTENS: app.listens,
            "started": time.time_ns() // 1_000_000,
        }

    async def run_once(self) -> None:
        """Beat once."""
        counts = [board.counts() for board in self.app.boards]
        about = self._about | {
            "children": len(counts),
            "finished": sum(attempts for attempts, _ in counts),
            "busy_ms": sum(spent_ns for _, spent_ns in counts) // 1_000_000,
        }
        await self.store.beat(self.tag, self.app.worker, about)

    async def leave(self) -> None:
        """Delete the entry."""
        await self.store.beat(self.tag, self.app.worker, None)
