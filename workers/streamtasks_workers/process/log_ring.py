"""The way of log lines from a child to its keeper: a ring of shared memory, which one writes and the other reads.

A line that does not fit is refused, so a child never waits here. Nobody clears it: what a child has written is read
after its death, and the next child of the same board goes on where it ended.
"""

from __future__ import annotations

import mmap
import struct
import threading
from typing import Final, NamedTuple

__all__ = ["LogEntry", "LogRing"]

RING_BYTES: Final = 512 * 1024

_WRITTEN, _READ = 0, 1
_HEAD: Final = struct.Struct("<HII")  # bytes of the id, lines dropped before, bytes of the lines
_WORDS_BYTES: Final = 16


class LogEntry(NamedTuple):
    """Lines of a task. ``dropped``: how many lines were dropped before them."""

    id: str
    dropped: int
    lines: bytes


class LogRing:
    """A ring of lines. Made before the fork; pages that are never used take no memory."""

    def __init__(self, size: int = RING_BYTES) -> None:
        self._size = size
        self._memory = mmap.mmap(-1, _WORDS_BYTES + size)
        self._words = memoryview(self._memory)[:_WORDS_BYTES].cast("Q")
        self.lock = threading.RLock()  # of the threads of the child

    # -- the child -----------------------------------------------------------------------------------

    @property
    def read_until(self) -> int:
        """How far the keeper has read, bytes since the beginning."""
        return self._words[_READ]

    def write(self, *entries: LogEntry) -> bool:
        """Write entries; False: they do not fit now, and nothing was written."""
        data = b"".join(
            _HEAD.pack(len(task_id := one.id.encode()), one.dropped, len(one.lines)) + task_id + one.lines
            for one in entries
        )
        with self.lock:
            written = self._words[_WRITTEN]
            if len(data) > self._size - (written - self._words[_READ]):
                return False
            start = written % self._size
            first = data[: self._size - start]
            self._memory[_WORDS_BYTES + start : _WORDS_BYTES + start + len(first)] = first
            rest = len(data) - len(first)
            if rest:
                self._memory[_WORDS_BYTES : _WORDS_BYTES + rest] = data[len(first) :]
            self._words[_WRITTEN] = written + len(data)
        return True

    # -- the keeper ----------------------------------------------------------------------------------

    @property
    def has_news(self) -> bool:
        """Whether there is something that was not discarded."""
        return self._words[_WRITTEN] != self._words[_READ]

    def peek(self) -> tuple[list[LogEntry], int]:
        """Return what was not discarded, and the position behind it."""
        at, end = self._words[_READ], self._words[_WRITTEN]
        data = self._bytes(at, end)
        found: list[LogEntry] = []
        place = 0
        while place < len(data):
            try:
                id_size, dropped, size = _HEAD.unpack_from(data, place)
                place += _HEAD.size
                task_id = data[place : place + id_size].decode()
            except (struct.error, UnicodeDecodeError):
                break  # a task has written over it
            place += id_size
            found.append(LogEntry(task_id, dropped, data[place : place + size]))
            place += size
        return found, end

    def discard(self, until: int) -> None:
        """Make room: what stands before this position is kept elsewhere."""
        self._words[_READ] = until

    def _bytes(self, at: int, end: int) -> bytes:
        size = end - at
        if not 0 < size <= self._size:
            return b""
        start = at % self._size
        first = self._memory[_WORDS_BYTES + start : _WORDS_BYTES + min(self._size, start + size)]
        return first + self._memory[_WORDS_BYTES : _WORDS_BYTES + size - len(first)]
