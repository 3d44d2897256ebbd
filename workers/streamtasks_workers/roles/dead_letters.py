"""Log that the oldest dead letters were deleted."""

from __future__ import annotations

import logging
from typing import Final

from .base import Role, ServedApp

__all__ = ["DeadLetters"]

LEAST_INTERVAL_S: Final = 60.0

logger = logging.getLogger("streamtasks.worker")


class DeadLetters(Role):
    """A line of the log, at most once a minute, when dead letters of one shard were deleted."""

    wake_on = "dead"

    def __init__(self, app: ServedApp, tag: str) -> None:
        super().__init__(app, tag)
        self.interval_s = LEAST_INTERVAL_S
        self._deleted = 0
        self._is_quiet = False

    def heard(self, tag: str, text: str) -> None:  # noqa: ARG002 - it has one shard
        """Count what was deleted; the first after a quiet minute is logged at once."""
        self._deleted += int(text.rpartition(" ")[2])
        if not self._is_quiet:
            self.wake()

    def missed(self, tag: str) -> None:
        """Do nothing: what was missed is not known."""

    async def run_once(self) -> None:
        """Log what was deleted since the last line."""
        self._is_quiet = self._deleted > 0
        if self._deleted:
            settings = self.app.settings
            logger.warning(
                "%s: the oldest dead letters of shard %s were deleted (%d): it keeps max_dead_letters=%d and "
                "max_dead_letter_bytes=%d; find out why tasks are given up on, or raise these",
                self.app.label, self.tag, self._deleted, settings.max_dead_letters, settings.max_dead_letter_bytes,
            )  # fmt: skip
            self._deleted = 0
