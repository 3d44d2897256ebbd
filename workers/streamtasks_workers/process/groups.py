"""A process group for each child, so that what its tasks have started does not outlive it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

__all__ = ["end_group", "lead_a_group"]


def lead_a_group() -> None:
    """Make this process the leader of a group of its own, unless it runs on a terminal.

    There only the group in the foreground may read: a debugger in a task would stop.
    """
    with suppress(OSError):
        if not os.isatty(0):
            os.setpgid(0, 0)


def end_group(pid: int) -> bool:
    """End what is left of the group of a process that has ended; return whether there was anything.

    What has left the group (``start_new_session=True``, a daemon) lives on.
    """
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:  # nothing is left, or it led none
        return False
    return True
