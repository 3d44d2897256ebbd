"""Wait for descriptors of any number: `select.select` fails for those from 1024 on."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterable

__all__ = ["ready"]


def ready(fds: Iterable[int], timeout_s: float | None) -> list[int]:
    """Return those of some descriptors that are readable, or ended, within ``timeout_s`` seconds (None: for ever).

    It takes no descriptor itself, so it works also when none is left.

    Raises:
        OSError: one of them is closed.
    """
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    found = poll.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000)
    for fd, events in found:
        if events & select.POLLNVAL:
            raise OSError(errno.EBADF, f"descriptor {fd}: {os.strerror(errno.EBADF)}")
    return [fd for fd, _ in found]
