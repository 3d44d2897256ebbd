"""On a board: the progress that running attempts show."""

from __future__ import annotations

import mmap

from .board_layout import HEAD_BYTES, HEADER_BYTES, PAYLOAD_BYTES, SIZE, SLOT_BYTES, STATES_AT, VERSION
from .slot_states import Slot

__all__ = ["ProgressWords"]


class ProgressWords:
    """The last progress of each attempt, until its outcome takes the place; part of a `Board`."""

    _memory: mmap.mmap
    _words: memoryview

    def report(self, slot: int, data: bytes) -> bool:
        """Show progress of a running attempt; False if there is too much of it."""
        size = len(data)
        if size > PAYLOAD_BYTES:
            return False
        memory, at = self._memory, HEADER_BYTES + slot * SLOT_BYTES
        words, word = self._words, at // 8
        # Odd while it is being written, so that the keeper never takes half of it. It is odd already if an interrupt
        # hit a task that was writing.
        version = words[word + VERSION] | 1
        words[word + VERSION] = version
        words[word + SIZE] = size
        memory[at + HEAD_BYTES : at + HEAD_BYTES + size] = data
        words[word + VERSION] = version + 1
        return True

    def has_reported(self, slot: int) -> bool:
        """Whether there is any progress of the attempt in a slot."""
        return self._words[(HEADER_BYTES + slot * SLOT_BYTES) // 8 + VERSION] != 0

    def reported(self, slot: int, known_version: int) -> tuple[int, bytes] | None:
        """Return (version, progress) of a running attempt if there is news and it is whole."""
        at = HEADER_BYTES + slot * SLOT_BYTES
        words, word = self._words, at // 8
        version, size = words[word + VERSION], words[word + SIZE]
        if version == known_version or version & 1 or version == 0:
            return None
        data = self._memory[at + HEAD_BYTES : at + HEAD_BYTES + size]
        return (
            (version, data)
            if words[word + VERSION] == version and self._memory[STATES_AT + slot] == Slot.RUNNING
            else None
        )
