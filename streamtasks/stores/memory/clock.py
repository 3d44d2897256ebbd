"""The clock of a memory store: the system's, or one that stands still; both can be moved forward."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...exceptions import ConfigurationError
from ...protocol.validation import check_seconds

__all__ = ["Clock"]


class Clock:
    """Tells the time by which messages are due, leases end and records expire.

    Args:
        start_ms: the clock stands still at this time (ms since the epoch) until `advance` moves it;
            ``None``: it goes as the system's does, plus what it was moved by.
    """

    def __init__(self, start_ms: int | None = None) -> None:
        self._stands_at_us = None if start_ms is None else start_ms * 1000
        self._moved_us = 0
        self._watchers: list[Callable[[], None]] = []

    def now_us(self) -> int:
        """Return microseconds since the epoch (UTC)."""
        base_us = time.time_ns() // 1000 if self._stands_at_us is None else self._stands_at_us
        return base_us + self._moved_us

    def now_ms(self) -> int:
        """Return milliseconds since the epoch (UTC)."""
        return self.now_us() // 1000

    def advance(self, seconds: float) -> None:
        """Move the clock forward.

        Raises:
            ConfigurationError: ``seconds`` is no number from 0; a clock never goes back.
        """
        check_seconds("seconds", seconds, ConfigurationError, above_zero=False)
        self._moved_us += round(seconds * 1_000_000)
        for watcher in list(self._watchers):
            watcher()

    def reset(self) -> None:
        """Undo every `advance`; only for a server that holds nothing."""
        self._moved_us = 0

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` after each `advance`."""
        self._watchers.append(watcher)
