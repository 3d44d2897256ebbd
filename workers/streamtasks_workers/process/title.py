"""Name a process after what it does in a worker, for ``ps``, ``top`` and ``pgrep``."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Final

__all__ = ["LONG_NS", "CommandLine", "set_title"]

LONG_NS: Final = 1_000_000_000
"""What a child runs for longer, ns, stands in its title."""

_PR_SET_NAME: Final = 15
_ARG_START: Final = 48 - 3
"""Field of ``/proc/<pid>/stat`` behind the name: where the process's arguments begin; the next one: where they end."""


def set_title(role: str) -> None:
    """Name this process ``st-<role>``, on Linux. Once in its life: that costs nothing per task."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, f"st-{role}".encode()[:15], 0, 0, 0)


class CommandLine:
    """The memory in which the arguments of this process stand, which ``ps`` shows; on Linux.

    No longer text than they were has room there.
    """

    def __init__(self) -> None:
        self._start = self._size = 0
        if sys.platform != "linux":
            return
        try:
            fields = Path("/proc/self/stat").read_text("latin-1").rpartition(")")[2].split()
            self._start, end = int(fields[_ARG_START]), int(fields[_ARG_START + 1])
        except (OSError, ValueError, IndexError):
            return
        self._size = max(0, end - self._start) if self._start else 0
        self._first = ctypes.string_at(self._start, self._size) if self._size else b""

    def show(self, text: str) -> None:
        """Show a text in place of the arguments; empty: show them again."""
        if self._size:
            # The last byte stays 0: behind another one the kernel would go on reading, in the environment.
            shown = text.encode(errors="replace")[: self._size - 1].ljust(self._size, b"\0") if text else self._first
            ctypes.memmove(self._start, shown, self._size)
