"""Stop signals of the supervisor, and the grace period that the first one starts."""

from __future__ import annotations

import logging
import os
import signal
import time
from types import FrameType
from typing import Final

from ..process.lifeline import STOP_SIGNALS, drain

__all__ = ["StopSignals"]

logger = logging.getLogger("streamtasks.worker")

SAME_S: Final = 1.0
"""A second stop signal within this time is the same one: process managers send it to the group and to the process."""


class StopSignals:
    """What the supervisor was asked by signals.

    Args:
        grace_s: how long running tasks may take after the first stop signal, seconds.

    Attributes:
        stopping_since: when the first stop signal was handled, monotonic seconds; 0: not yet.
        quiet: whether the worker claims no more, but stays.
        at_once: whether running tasks must not be waited for.
    """

    def __init__(self, grace_s: float) -> None:
        self.stopping_since = 0.0
        self.at_once = self.quiet = False
        self._grace_s = grace_s
        self._received: list[int] = []
        self._lines: list[tuple[int, str]] = []

    def install(self) -> int:
        """Handle signals from now on; return a descriptor that becomes readable when one arrives."""
        wake_r, wake_w = os.pipe()
        os.set_blocking(wake_w, False)
        os.set_blocking(wake_r, False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._receive)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        self._wake_fd = wake_r
        return wake_r

    def ignore(self) -> None:
        """Ignore stop signals from now on: Python resets handlers before it exits, and one more would kill it then.

        SIGQUIT still ends a process that does not get to its end.
        """
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGQUIT else signal.SIG_IGN)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self._received.append(number)

    def changed(self) -> bool:
        """Handle what has arrived; return whether the worker has to stop or be quiet now, or to stop sooner."""
        drain(self._wake_fd)
        changed = False
        while self._received:
            number, now = self._received.pop(0), time.monotonic()
            if number == signal.SIGTSTP:
                if not self.quiet and not self.stopping_since:
                    self._lines.append((logging.INFO, "quiet: no more tasks are claimed; SIGTERM stops the worker"))
                    changed = self.quiet = True
                continue
            if number != signal.SIGQUIT and self.stopping_since and now - self.stopping_since < SAME_S:
                continue
            changed = True
            if number == signal.SIGQUIT or self.stopping_since:
                self._lines.append((logging.WARNING, "stopping now; running tasks are handed back"))
                self.at_once = True
            else:
                self._lines.append((logging.INFO, f"stopping: running tasks may take another {self._grace_s:g} s"))
            self.stopping_since = self.stopping_since or now
        return changed

    def log(self) -> None:
        """Log what has changed; call it when it is done, so that a line never comes before what it says."""
        for level, line in self._lines:
            logger.log(level, line)
        self._lines.clear()

    @property
    def claims(self) -> bool:
        """Whether the worker is neither stopping nor quiet."""
        return not (self.stopping_since or self.quiet)

    @property
    def grace_left_s(self) -> float:
        """For how long running tasks may still be waited for, seconds; infinite before the first stop signal."""
        return self.stopping_since + self._grace_s - time.monotonic() if self.stopping_since else float("inf")
