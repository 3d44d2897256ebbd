"""Keep the worker's entry in the registry alive."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import Any, Final

from streamtasks.protocol.task_digests import digests
from streamtasks.stores.inspection_types import LISTENS
from streamtasks.stores.types import Coming

from .base import Role, ServedApp

__all__ = ["Heartbeat"]

BEAT_S: Final = 5.0
COMING: Final = ("due", "schedule", "unfold", "limit", "lease")
"""The words of control messages for the fields of `Coming`."""

MOST_BEAT_S: Final = 10.0
"""The longest pause between two beats, seconds: a worker that was silent for three of them counts as gone."""


class Heartbeat(Role):
    """The worker's entry on one shard, which also shows other workers that leases are renewed there.

    With several shards the answer says what comes on each, so that other roles need not ask by themselves.
    """

    def __init__(self, app: ServedApp, tag: str) -> None:
        super().__init__(app, tag)
        often_s = min(max(BEAT_S, app.settings.idle_poll_s), MOST_BEAT_S)
        self.interval_s = min(often_s, app.settings.lease_s / 6)
        if len(app.tags) > 1:
            self.interval_s = min(MOST_BEAT_S, app.settings.lease_s / 3)
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
        beat = await self.store.beat(self.tag, self.app.worker, about)
        self.app.beats[self.tag] = time.monotonic()
        if len(self.app.tags) > 1:
            self._announce(beat.coming)

    def _announce(self, coming: Coming) -> None:
        """Wake roles at the times at which something comes before the next beat, whatever they were told."""
        for word, in_ms in zip(COMING, coming, strict=True):
            if in_ms is not None and in_ms / 1000 < 1.2 * self.interval_s:
                asyncio.get_running_loop().call_later(in_ms / 1000, self.app.wake, self.tag, word)

    async def leave(self) -> None:
        """Delete the entry."""
        await self.store.beat(self.tag, self.app.worker, None)
