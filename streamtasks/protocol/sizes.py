"""Warn of large calls and results, once per task and process."""

from __future__ import annotations

import logging
from typing import Final

__all__ = ["LARGE_BYTES", "warn_of_size"]

logger = logging.getLogger("streamtasks.tasks")

LARGE_BYTES: Final = 1024 * 1024
"""Calls and results of this size or more are warned of: a server is occupied for ms by each."""

_warned: set[tuple[str, str]] = set()


def warn_of_size(what: str, task: str, size: int) -> None:
    """Log a WARNING, unless this process has logged it before.

    Args:
        what: ``"call"`` or ``"result"``.
        task: the name of the task.
        size: bytes.
    """
    if (what, task) in _warned:
        return
    _warned.add((what, task))
    logger.warning(
        "A %s of task %s takes %d bytes. From %d bytes on, each one delays the other users of the server and fills its "
        "memory: store the data elsewhere and pass its id. This is logged once per task and process.",
        what,
        task,
        size,
        LARGE_BYTES,
    )
