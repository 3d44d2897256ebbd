"""Keep the worker's entry in the registry alive."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from typing import Any, Final

from streamtasks.protocol.jitter import RANDOM
from streamtasks.protocol.task_digests import digests
from streamtasks.stores.inspection_types import LISTENS
from streamtasks.stores.types import Coming

from .base import Role, ServedApp

__all__ = ["Heartbeat"]

logger = logging.getLogger("streamtasks.worker")

BEAT_S: Final = 5.0
COMING: Final = ("due", "schedule", "unfold", "limit", "lease", "wake")
"""The words of control messages for the fields of `Coming`."""

MOST_BEAT_S: Final = 10.0
"""The longest pause between two beats of a worker, seconds: one that was silent for three of them counts as gone."""

QUIET_S: Final = 60.0
"""With several shards, one on which nobody holds anything and nothing comes before is beaten on this often, seconds."""


class Heartbeat(Role):
    """The worker's entry on one shard, which also shows other workers that leases are renewed there.

    With several shards the answer says what comes on each, so that other roles need not ask by themselves. On a quiet
    shard beats are rare: no leases are renewed there, and of a worker the latest beat on any shard counts. A push from
    the shard ends that, and so does a claim of a child of this worker.

    The answer also brings what operators ask of the worker.
    """

    wake_on = "worker"

    def __init__(self, app: ServedApp, tag: str) -> None:
        super().__init__(app, tag)
        often_s = min(max(BEAT_S, app.settings.idle_poll_s), MOST_BEAT_S)
        self.interval_s = min(often_s, app.settings.lease_s / 6)
        self._has_neighbours = len(app.tags) > 1
        if self._has_neighbours:
            self.interval_s = min(MOST_BEAT_S, app.settings.lease_s / 3)
        # The quiet shards of a worker take turns.
        self._turn_s = QUIET_S * app.tags.index(tag) / len(app.tags) + RANDOM.random()
        self._beat_at = 0.0
        self._quiet_until = 0.0
        self._about: dict[str, Any] = {
            "app": app.label,
            "host": socket.gethostname(),
            "pid": os.getppid(),
            "slots": app.options.children * max(1, app.options.threads, app.options.async_concurrency),
            "queues": list(app.options.filter.queues),
            "queue_mode": app.options.filter.mode,
            "tasks": digests(app.tasks),
            LISTENS: app.listens,
            "started": time.time_ns() // 1_000_000,
        }

    def first_s(self) -> float:
        """Run at once: others live by what the first beat says."""
        return 0.0

    def missed(self, tag: str) -> None:  # noqa: ARG002 - it has one shard
        """Beat soon, if there are several shards: the answer says what was missed."""
        if self._has_neighbours:
            self.wake()

    def heard(self, tag: str, text: str) -> None:
        """Take in ``worker <name>``: something is asked of that worker."""
        if text == f"worker {self.app.worker}":
            self._quiet_until = 0.0
            super().heard(tag, text)

    async def run_once(self) -> float | None:
        """Beat once, unless the shard is quiet."""
        now = time.monotonic()
        if (
            now < self._quiet_until
            and now - max(self.app.beats.values(), default=0.0) < MOST_BEAT_S
            and not self._is_in_use()
        ):
            return min(self._quiet_until - now, self._jittered_s())
        counts = [board.counts() for board in self.app.boards]
        about = self._about | {
            "children": len(counts),
            "finished": sum(attempts for attempts, _ in counts),
            "busy_ms": sum(spent_ns for _, spent_ns in counts) // 1_000_000,
            "request": self.app.request,
        }
        beat = await self.store.beat(self.tag, self.app.worker, about)
        self._beat_at = now
        if beat.request:
            self._obey(beat.request)
        self.app.beats[self.tag] = time.monotonic()
        if not self._has_neighbours:
            return None
        next_s = self._jittered_s()
        self._quiet_until = 0.0
        if self._is_quiet(beat.coming):
            left_s = QUIET_S - (now + self._turn_s) % QUIET_S
            self._quiet_until = now + left_s
            next_s = min(next_s, left_s)
        self._announce(beat.coming, max(next_s, self._quiet_until - now))
        return next_s

    def _obey(self, request: str) -> None:
        """Pass on what is asked of the worker; the next beat shows it."""
        logger.info("worker %s: asked to %s by an operator; see streamtasks audit", self.app.worker, request)
        self.app.request = request
        self.app.ask_supervisor(request)
        self.wake()

    def _jittered_s(self) -> float:
        return self.interval_s * (0.8 + 0.4 * RANDOM.random())

    def _is_in_use(self) -> bool:
        """Whether something may have come to the shard since the last beat, or a child holds something of it."""
        if self.app.heard_at.get(self.tag, 0.0) >= self._beat_at:
            return True
        return any(
            any(state and board.tag_of(slot) == self.tag for slot, state in enumerate(board.states()))
            for board in self.app.boards
        )

    def _is_quiet(self, coming: Coming) -> bool:
        if coming.lease is not None or coming.ready is not None:
            return False
        return all(in_ms is None or in_ms > 1000 * QUIET_S for in_ms in coming)

    def _announce(self, coming: Coming, next_s: float) -> None:
        """Wake roles at the times at which something comes before the next beat, whatever they were told."""
        for word, in_ms in zip(COMING, coming, strict=True):
            if in_ms is not None and in_ms / 1000 < 1.2 * next_s:
                asyncio.get_running_loop().call_later(in_ms / 1000, self.app.wake, self.tag, word)

    async def leave(self) -> None:
        """Delete the entry."""
        await self.store.beat(self.tag, self.app.worker, None)
