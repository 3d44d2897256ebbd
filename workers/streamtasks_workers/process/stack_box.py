"""Shared memory by which a keeper asks a child for its stacks, and the child answers."""

from __future__ import annotations

import mmap
import multiprocessing
from typing import Final

__all__ = ["StackBox"]

BOX_BYTES: Final = 64 * 1024

_ASKED, _ANSWERED, _SIZE, _CALLED = 0, 1, 2, 3
_HEAD_BYTES: Final = 64
_ID_BYTES: Final = 128


class StackBox:
    """One question at a time. Made before the fork."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _HEAD_BYTES + _ID_BYTES + BOX_BYTES)
        self._words = memoryview(self._memory)[:_HEAD_BYTES].cast("Q")
        self._bell = multiprocessing.get_context("fork").Semaphore(0)

    # -- the keeper ----------------------------------------------------------------------------------

    def ask(self, task_id: str) -> None:
        """Ask for the stacks of a task."""
        name = task_id.encode()[:_ID_BYTES]
        self._memory[_HEAD_BYTES : _HEAD_BYTES + _ID_BYTES] = name.ljust(_ID_BYTES, b"\0")
        self._words[_ASKED] += 1
        self._bell.release()

    def call(self) -> None:
        """Let the child look at what it runs, without a question; once until it has."""
        if not self._words[_CALLED]:
            self._words[_CALLED] = 1
            self._bell.release()

    def answer(self) -> bytes | None:
        """Return the answer to the last question; None: there is none yet."""
        if self._words[_ANSWERED] != self._words[_ASKED]:
            return None
        start = _HEAD_BYTES + _ID_BYTES
        return self._memory[start : start + min(self._words[_SIZE], BOX_BYTES)]

    # -- the child -----------------------------------------------------------------------------------

    def wait(self) -> None:
        """Wait for a question, or a call."""
        self._bell.acquire()
        self._words[_CALLED] = 0

    def question(self) -> str:
        """Return the id of the task whose stacks are asked for; empty: there is no question."""
        if self._words[_ANSWERED] == self._words[_ASKED]:
            return ""
        return self._memory[_HEAD_BYTES : _HEAD_BYTES + _ID_BYTES].rstrip(b"\0").decode(errors="replace")

    def put(self, answer: bytes) -> None:
        """Answer the question."""
        asked = self._words[_ASKED]
        answer = answer[:BOX_BYTES]
        start = _HEAD_BYTES + _ID_BYTES
        self._memory[start : start + len(answer)] = answer
        self._words[_SIZE] = len(answer)
        self._words[_ANSWERED] = asked
