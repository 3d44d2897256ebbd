"""Tasks that run until the test lets them end, so that the speed of the machine does not matter."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from tests.support.waiting import wait_until


class Gate:
    """A gate for the tasks ``nap_until``, ``anap_until`` and ``hold_gil_until``: they run until it is opened.

    Args:
        directory: where its two files are.
        name: tells the gates of one test apart.
    """

    def __init__(self, directory: Path, name: str = "gate") -> None:
        self._path = directory / name
        self._lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    @property
    def path(self) -> str:
        """The argument of the tasks."""
        return str(self._path)

    def wait_held(self, pid: int) -> None:
        """Return when a ``hold_gil_until`` in this process has the interpreter's lock."""
        inode = os.fstat(self._lock).st_ino

        def holds() -> bool:
            # "1: -> FLOCK ADVISORY WRITE 4711 fe:00:123 0 EOF": a process that waits for the lock.
            lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
            waiting = [words[5:7] for words in lines if words[1] == "->"]
            return any(int(who) == pid and int(where.rpartition(":")[2]) == inode for who, where in waiting)

        wait_until(holds, f"process {pid} holds its interpreter's lock")

    def open(self) -> None:
        """Let the tasks end; a second call does nothing."""
        self._path.touch()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
