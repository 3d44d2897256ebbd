"""Stop signals of the supervisor, and the phases of a worker's life that they begin."""

from __future__ import annotations

import os
import signal
import time
from enum import IntEnum
from typing import Final

from ..process.lifeline import STOP_SIGNALS

__all__ = ["Phase", "StopSignals"]

SAME_S: Final = 1.0
"""A second stop signal within this time is the same one: process managers send it to the group and to the process."""


class Phase(IntEnum):
    """The phases of a worker's life, in their order: it never goes back."""

    WORKING = 0
    QUIET = 1  # it claims no more, but stays
    STOPPING = 2  # what runs may end within the grace period
    AT_ONCE = 3  # what runs is handed back


class StopSignals:
    """What signals have asked of the supervisor.

    Attributes:
        phase: the present one.
        fd: readable when a signal has arrived, which may be SIGCHLD.
    """

    def __init__(self) -> None:
        self.phase = Phase.WORKING
        self._stopping_since = 0.0
        self.fd, self._write_fd = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write_fd, False)

    def install(self) -> None:
        """Handle signals from now on: Python writes their numbers to the pipe, and the handlers have nothing to do."""
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in (*STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def ignore(self) -> None:
        """Ignore stop signals from now on: Python resets handlers before it exits, and one more would kill it then.

        SIGQUIT still ends a process that does not get to its end.
        """
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGQUIT else signal.SIG_IGN)

    def arrived(self) -> list[Phase]:
        """Handle the signals that have arrived; return the phases that they begin."""
        try:
            numbers = os.read(self.fd, 4096)
        except BlockingIOError:
            return []
        begun = []
        for number in numbers:
            if number != signal.SIGCHLD and (phase := self._wanted(number)) > self.phase:
                self.phase = phase
                begun.append(phase)
        return begun

    def _wanted(self, number: int) -> Phase:
        if number == signal.SIGTSTP:
            return Phase.QUIET
        if number == signal.SIGQUIT:
            return Phase.AT_ONCE
        now = time.monotonic()
        if self.phase < Phase.STOPPING:
            self._stopping_since = now
        return Phase.AT_ONCE if now - self._stopping_since >= SAME_S else Phase.STOPPING
