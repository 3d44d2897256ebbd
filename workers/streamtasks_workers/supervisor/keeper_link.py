"""The supervisor's link to its keeper: start it, exchange messages, replace it when it dies or is silent."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from streamtasks.stores.backoff import Backoff

from ..process.last_error import LastError
from ..process.ready import ready
from .forks import OWN_ERROR, QUICK_S, could_start, send_signal, status_text

__all__ = ["KeeperLink"]

logger = logging.getLogger("streamtasks.worker")

SILENCE_S = 5.0
"""A keeper that gives no sign of life for so long is replaced, seconds."""


class KeeperLink:
    """The present keeper.

    Args:
        start: forks a keeper that uses one end of the line; returns its pid.
        known: yields all that a new keeper has to know.
        alive: one word of shared memory: the last sign of life of the keeper, monotonic ns.
        last_error: by which a keeper has ended.
    """

    def __init__(
        self,
        start: Callable[[socket.socket], int],
        known: Callable[[], Iterable[dict[str, Any]]],
        alive: memoryview,
        last_error: LastError,
    ) -> None:
        self.pid = 0  # of the keeper; 0: there is none
        self._has_lived = False
        self._start = start
        self._known = known
        self._alive = alive
        self._last_error = last_error
        self._line: socket.socket | None = None
        self._buffer = b""
        self._born = self._start_at = 0.0
        self._backoff = Backoff(0.05, 5.0, at_once=1)

    def check(self) -> None:
        """Start a keeper if there is none and its time has come; kill one that has been silent for too long."""
        now = time.monotonic()
        if not self.pid:
            if now >= self._start_at:
                self._fork()
        elif self.is_silent:
            logger.error("the keeper has been silent for %.1f s; replacing it", self._silent_s)
            self.count_silence_from_now()
            send_signal(self.pid, signal.SIGKILL)

    @property
    def is_silent(self) -> bool:
        """Whether there is no keeper that has given a sign of life lately."""
        return self._silent_s > SILENCE_S

    @property
    def _silent_s(self) -> float:
        return (time.monotonic_ns() - self._alive[0]) / 1e9

    @property
    def has_lived(self) -> bool:
        """Whether a keeper lives, or any has lived, for longer than one that cannot start."""
        return self._has_lived or (self.pid != 0 and time.monotonic() - self._born > QUICK_S)

    @property
    def failures(self) -> int:
        """How many keepers in a row could not be forked, or could not start."""
        return self._backoff.tries

    def count_silence_from_now(self) -> None:
        """Give the keeper its full time once more."""
        self._alive[0] = time.monotonic_ns()

    def _fork(self) -> None:
        self.close()
        ours, theirs = socket.socketpair()
        self._line, self._buffer = ours, b""
        self.count_silence_from_now()
        try:
            self.pid = self._start(theirs)
        except OSError as error:
            self.close()
            self._start_at = time.monotonic() + self._backoff.next_s()
            if self._last_error.is_new(error):
                logger.error("cannot fork the keeper: %s; trying again until it works", error)  # noqa: TRY400
            return
        finally:
            theirs.close()
        self._born = time.monotonic()
        for message in self._known():
            self.send(message)

    def ended(self, status: int) -> None:
        """Note that the keeper has died; `check` starts another."""
        self.pid = 0
        now = time.monotonic()
        by_error = os.WIFEXITED(status) and os.WEXITSTATUS(status) == OWN_ERROR
        times = self._last_error.times if by_error else 0
        if could_start(now - self._born, status):
            self._has_lived = True
            self._backoff.reset()
        pause_s = self._backoff.next_s()
        self._start_at = now + pause_s
        again = f", {times} times in a row by the same error" if times > 1 else ""
        logger.error("the keeper ended with %s%s; starting another in %.1f s", status_text(status), again, pause_s)

    def next_event_s(self) -> float:
        """Return when `check` has something to do next, seconds from now."""
        return SILENCE_S if self.pid else max(0.0, self._start_at - time.monotonic())

    # -- messages ------------------------------------------------------------------------------------

    def fileno(self) -> int | None:
        """Return a descriptor that becomes readable when a message arrives; None: there is no line."""
        return None if self._line is None else self._line.fileno()

    def close(self) -> None:
        """Close our end of the line."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; a keeper that is gone does not get it, the next one learns all from ``known``."""
        if self._line is None:
            return
        try:
            self._line.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            logger.debug("the keeper is gone; the next one gets the message")

    def receive(self, timeout_s: float = 0.0) -> list[dict[str, Any]]:
        """Return the messages that have arrived, or arrive within ``timeout_s`` seconds."""
        if self._line is None or not ready([self._line.fileno()], timeout_s):
            return []
        try:
            data = self._line.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.close()
            return []
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def end(self, within_s: float) -> None:
        """Let the keeper leave, and kill it if it has not ended in time."""
        self.send({"op": "end"})
        deadline = time.monotonic() + within_s
        while self.pid:
            if not self.receive(0.05):
                time.sleep(0.005)
            if time.monotonic() > deadline:
                send_signal(self.pid, signal.SIGKILL)
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                self.pid = 0
