"""What stops a child: the supervisor's request, its age, its memory, or the death of its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from .fork_guard import ignore
from .ready import ready

__all__ = ["STOP_SIGNALS", "Lifeline", "die_with_parent", "drain"]

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP)
"""The signals that stop or quiet a worker; blocked in a new process until it has handlers of its own."""

_PR_SET_PDEATHSIG = 1
_NO_LIMIT = 1 << 60


def die_with_parent(parent_pid: int) -> None:
    """Interrupt the kernel to kill this process when its parent dies (Linux; elsewhere the life pipe shows it)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before we asked
        os._exit(1)


def drain(fd: int) -> None:
    """Empty a pipe whose read end does not block."""
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        return


class Lifeline:
    """What stops a child, and waits that end with it.

    The supervisor's request is a word on the board; SIGTERM and the life pipe make a child that waits look at it.

    Args:
        life_fd: the read end of a pipe whose write end only the supervisor holds: at its end, this process is an
            orphan; something in it means that all children have to look at their boards.
        max_attempts: stop after so many; 0: no limit.
        max_memory_mb: stop when the process holds more, MiB; 0: no limit.
        stop_requested: see `Board.stop_requested`.
    """

    def __init__(
        self,
        life_fd: int,
        max_attempts: int,
        max_memory_mb: int,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> None:
        self._life_fd = life_fd
        self._life_fds: tuple[int, ...] = (life_fd,)
        self._parent_pid = os.getppid()
        self._stop_requested = stop_requested
        self._max_memory = max_memory_mb * 1024 * 1024
        self.attempts_left = max_attempts or _NO_LIMIT
        self._stopping = False
        self._next_look = 0.0
        self._wake_r, self._wake_w = os.pipe()
        self._wake_pipe = os.fstat(self._wake_r).st_ino
        os.set_blocking(self._wake_w, False)
        os.set_blocking(self._wake_r, False)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, ignore)  # Ctrl-C reaches the whole group; the supervisor decides
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        for number in (signal.SIGHUP, signal.SIGTSTP):
            signal.signal(number, ignore)  # likewise
        signal.set_wakeup_fd(self._wake_w, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    @property
    def stopping(self) -> bool:
        """Whether no more may be claimed."""
        if not self._stopping and self._stop_requested():
            self._stopping = True
        return self._stopping

    @property
    def wake_fd(self) -> int:
        """Readable when a signal has arrived."""
        return self._wake_r

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All that is of use to this process only."""
        return (self._wake_r, self._wake_w, self._life_fd)

    @property
    def life_fd(self) -> int:
        """Readable when `check_parent` has something to do; once only."""
        return self._life_fd

    def is_whole(self) -> bool:
        """Whether our descriptors are still ours: a task may have closed all that it found."""
        try:
            return os.fstat(self._wake_r).st_ino == self._wake_pipe
        except OSError:
            return False

    def attempted(self, attempts: int) -> bool:
        """Count finished attempts; a child past its age or size stops before the next. Return whether it is."""
        self.attempts_left -= attempts
        aged = self.attempts_left <= 0
        now = time.monotonic()
        if self._max_memory and now >= self._next_look:
            self._next_look = now + 0.25
            aged = aged or _resident_bytes() > self._max_memory
        if aged:
            self._stopping = True
        return aged

    def wait(self, fd: int | None, timeout_s: float | None) -> bool:
        """Wait until ``fd`` is readable (True), the child shall stop, or the time is up (False)."""
        if self.stopping and fd is not None:
            return False
        readable = ready([f for f in (fd, self._wake_r, *self._life_fds) if f is not None], timeout_s)
        if self._wake_r in readable:
            self.drain()
        if self._life_fd in readable:
            self.check_parent()
        return fd in readable

    def drain(self) -> None:
        """Empty the wake-up pipe."""
        drain(self._wake_r)

    def check_parent(self) -> None:
        """Leave at once if the parent is dead. What lies in the life pipe is for all children: it stays there."""
        if ready(self._life_fds, 0):
            if os.getppid() != self._parent_pid:
                os._exit(1)
            self._life_fds = ()

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGESIZE")
    except OSError:  # not Linux: the peak is all there is
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
