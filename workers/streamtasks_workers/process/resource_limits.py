"""Restore a child's resource limits, and see whether it still gets file descriptors."""

from __future__ import annotations

import logging
import os
import resource
from resource import getrlimit
from typing import Final

from .process_calls import PLAIN

__all__ = ["ResourceLimits"]

logger = logging.getLogger("streamtasks.worker")

WATCHED: Final = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_NPROC")


class ResourceLimits:
    """The limits that the process had before the first attempt.

    Args:
        fd: a descriptor that stays open.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        numbers = ((name, getattr(resource, name)) for name in WATCHED if hasattr(resource, name))
        self._known = [(name, number, getrlimit(number)) for name, number in numbers]

    def has_descriptors(self) -> bool:
        """Whether the process gets another descriptor; cheap. False too if ``fd`` was closed."""
        try:
            os.close(os.dup(self._fd))
        except OSError:
            return False
        return True

    def are_lowered(self) -> bool:
        """Whether one of them is lower than it was."""
        return any(_is_lower(getrlimit(number), known) for _, number, known in self._known)

    def restore(self, task_id: str) -> bool:
        """Restore limits that a task has lowered, and log them; return False if one cannot be restored."""
        for at, (name, number, known) in enumerate(self._known):
            limits = getrlimit(number)
            if limits == known:
                continue
            if not _is_lower(limits, known):
                self._known[at] = (name, number, limits)
                continue
            try:
                PLAIN.setrlimit(number, known)
            except (OSError, ValueError) as error:  # a hard limit, which only root may raise again
                logger.warning("task %s has lowered %s of its process for good: %s", task_id, name, error)
                return False
            logger.warning("task %s has lowered %s of its process; it is restored", task_id, name)
        return True


def _is_lower(limits: tuple[int, int], known: tuple[int, int]) -> bool:
    """Whether the soft or the hard limit is lower than before; RLIM_INFINITY is -1."""
    most = (1 << 64) - 1
    return any(limit & most < before & most for limit, before in zip(limits, known, strict=True))
