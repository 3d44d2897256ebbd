"""The clock by which leases count on this machine: it goes on while the machine sleeps, as the server's does."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

__all__ = ["boot_ns"]

_CLOCK: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)

boot_ns: Callable[[], int] = time.monotonic_ns if _CLOCK is None else partial(time.clock_gettime_ns, _CLOCK)
"""Return ns since the machine started, the time that it slept included; where there is no such clock, monotonic ns."""
