"""A child's doorbell: the child sleeps until it rings, and the keeper rings it when there is something to claim."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress

from .lifeline import drain

__all__ = ["Doorbell"]


class Doorbell:
    """A pipe, and a word of shared memory that says whether anybody waits for it. Made before the forks."""

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        self._waits = memoryview(mmap.mmap(-1, 8)).cast("Q")

    @property
    def fd(self) -> int:
        """Readable after it was rung."""
        return self._read_fd

    @property
    def descriptors(self) -> tuple[int, int]:
        """All that it holds."""
        return self._read_fd, self._write_fd

    @property
    def is_waited_for(self) -> bool:
        """Whether the child waits and was not rung for yet."""
        return self._waits[0] != 0

    def wait(self) -> None:
        """Note that the child waits from now on."""
        self._waits[0] = 1

    def ring(self) -> None:
        """Wake the child."""
        self._waits[0] = 0
        with suppress(BlockingIOError):  # it is full: the child will see that
            os.write(self._write_fd, b".")

    def reset(self) -> None:
        """Note that nobody waits, and empty it."""
        self._waits[0] = 0
        drain(self._read_fd)
