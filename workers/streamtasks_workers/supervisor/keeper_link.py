"""The supervisor's link to its keeper: start it, replace it when it dies or is silent, let it leave."""

from __future__ import annotations

import logging
import signal
import socket
import time
from collections.abc import Callable
from typing import Final

from streamtasks.stores.backoff import Backoff

from ..process.last_error import LastError
from ..process.message_line import MessageLine
from .forks import OWN_ERROR, exit_text, send_signal
from .process_table import NEVER, Place

__all__ = ["LEAVE_S", "KeeperLink"]

logger = logging.getLogger("streamtasks.worker")

SILENCE_S = 5.0
"""A keeper that gives no sign of life for so long is replaced, seconds."""


LEAVE_S: Final = 2.0
"""So long a keeper may take to leave, seconds: its store may be away."""


class KeeperLink:
    """The present keeper.

    Args:
        fork: forks a keeper that uses this end of the line; returns its pid.
        alive: one word of shared memory: the last sign of life of the keeper, monotonic ns.
        last_error: by which a keeper has ended.
    """

    def __init__(self, fork: Callable[[socket.socket], int], alive: memoryview, last_error: LastError) -> None:
        self.pid = 0  # of the keeper; 0: there is none
        self.line = MessageLine()
        self.place = Place("the keeper", Backoff(0.05, 5.0, at_once=1), last_error)
        self._fork = fork
        self._alive = alive
        self._last_error = last_error
        self._is_leaving = False
        self._replaced_at = NEVER  # the present keeper is to leave for another one: it is killed then

    def check(self) -> bool:
        """Kill a keeper that is silent; start the one that is due. Return whether it did: a new one knows nothing."""
        if self.pid and time.monotonic() > self._replaced_at:
            send_signal(self.pid, signal.SIGKILL)
        elif self.pid and self.silent_s > SILENCE_S:
            logger.error("the keeper has been silent for %.1f s; replacing it", self.silent_s)
            self.count_silence_from_now()
            send_signal(self.pid, signal.SIGKILL)
        if self.place.start_at > time.monotonic():
            return False
        self.count_silence_from_now()
        self.pid = self.place.fill(self._fork_with_line)
        return self.pid != 0

    def _fork_with_line(self) -> int:
        with self.line.open() as theirs:
            return self._fork(theirs)

    def ended(self, code: int) -> None:
        """Note that the keeper has died; `check` starts another, unless this one was to leave."""
        self.pid = 0
        if self._is_leaving:
            return
        if self._replaced_at < NEVER:
            self._replaced_at = NEVER
            self.place.ended(0, has_worked=True)
            return
        times = self._last_error.times if code == OWN_ERROR else 0
        again = f", {times} times in a row by the same error" if times > 1 else ""
        pause_s = self.place.ended(code)
        logger.error("the keeper ended with %s%s; starting another in %.1f s", exit_text(code), again, pause_s)

    def replace(self) -> None:
        """Let the keeper leave for another one, which is started when it has, at the latest after `LEAVE_S`."""
        if self.pid:
            self._replaced_at = time.monotonic() + LEAVE_S
            self.line.send({"op": "end"})

    def end(self, kill_at: float) -> None:
        """Let the keeper leave, and kill it if it has not done so by a time, monotonic seconds."""
        if not self._is_leaving:
            self._is_leaving = True
            self.line.send({"op": "end"})
        if self.pid and time.monotonic() > kill_at:
            send_signal(self.pid, signal.SIGKILL)

    @property
    def silent_s(self) -> float:
        """Since when there was no sign of life of a keeper, seconds."""
        return (time.monotonic_ns() - self._alive[0]) / 1e9

    def count_silence_from_now(self) -> None:
        """Give the keeper its full time once more."""
        self._alive[0] = time.monotonic_ns()
