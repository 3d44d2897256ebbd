"""The permit to run a suspect: one child of a worker has it at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import suppress

__all__ = ["SuspectPermit"]


class SuspectPermit:
    """A record lock on a file without a name, opened before the forks. The system frees it when its holder dies.

    Scripts see to it on one shard; with several, a worker could get a suspect of each.
    """

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            self._fd = os.memfd_create("streamtasks-suspect")
        else:
            self._fd, path = tempfile.mkstemp()
            os.unlink(path)  # noqa: PTH108 - the descriptor stays
        self.is_held = False

    @property
    def fd(self) -> int:
        """Its descriptor. To close it, or another one of the same file, gives the permit back."""
        return self._fd

    def take(self) -> bool:
        """Take it if no other process has it; return whether this process has it now."""
        if not self.is_held:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            self.is_held = True
        return True

    def give_back(self) -> None:
        """Give it back, if this process has it."""
        if self.is_held:
            self.is_held = False
            with suppress(OSError):  # a task has closed our descriptors
                fcntl.lockf(self._fd, fcntl.LOCK_UN)
