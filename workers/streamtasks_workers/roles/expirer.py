"""Delete results whose time is over before their ids may be forgotten."""

from __future__ import annotations

from typing import Final

from streamtasks.settings import MIN_DEDUP_S

from .base import Role, ServedApp

__all__ = ["Expirer"]

MOST_LATE_S: Final = 60.0
LEAST_INTERVAL_S: Final = 1.0


class Expirer(Role):
    """Expiry of the results of one shard; it has nothing to do unless they expire within 15 minutes.

    A record expires on the server by itself, but not before its id may be forgotten.
    """

    def __init__(self, app: ServedApp, tag: str) -> None:
        super().__init__(app, tag)
        settings = app.settings
        expires_s = {True: settings.result_expires_s, False: settings.failure_expires_s}
        self._after = {success: "" for success, after_s in expires_s.items() if after_s < MIN_DEDUP_S}
        shortest_s = min(expires_s.values())
        self.interval_s = max(LEAST_INTERVAL_S, min(MOST_LATE_S, shortest_s / 4))

    async def run_once(self) -> None:
        """Delete what has expired since the last run."""
        for success, after in self._after.items():
            self._after[success] = await self.store.expire_results(self.tag, success, after)
