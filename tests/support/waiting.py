"""Waiting for events, with a deadline that only what hangs can miss."""

from __future__ import annotations

import time
from collections.abc import Callable

DEADLINE_S = 60.0
"""Long enough for a busy machine: a deadline ends what hangs, and says nothing about how long something may take."""
_SOONEST_S, _LATEST_S = 0.001, 0.02


def wait_until[T](
    get: Callable[[], T], what: str | Callable[[], str], timeout_s: float = DEADLINE_S, every_s: float = 0.0
) -> T:
    """Return the first true value; fail with ``what`` if there is none in time."""
    began = time.monotonic()
    while not (value := get()):
        waited_s = time.monotonic() - began
        if waited_s > timeout_s:
            raise AssertionError(f"not within {timeout_s} s: {what if isinstance(what, str) else what()}")
        # Seldom looks at what lasts: looking takes time from the processes that the test waits for.
        time.sleep(every_s or min(max(_SOONEST_S, waited_s / 50), _LATEST_S))
    return value


def pass_time(seconds: float) -> None:
    """Wait while something is away or silent for so long."""
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began >= seconds, "time passes", seconds + DEADLINE_S)
