"""Time how long tasks take to be drained; no task is counted that ended before the clock began."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["drain_time"]

LOOK_S = 0.002


def drain_time(
    done: Callable[[], int], tasks: int, begun: Callable[[], None] = lambda: None, most_s: float = float("inf")
) -> tuple[int, float]:
    """Return how many tasks ended while the clock ran, from the first outcomes that were seen, and seconds.

    Args:
        done: returns how many have ended.
        tasks: until so many have.
        begun: called when the clock begins.
        most_s: seconds to wait in all.

    Raises:
        TimeoutError: it took longer.
    """
    until, first = time.monotonic() + most_s, 0
    while not first:
        first = done()
        _check(until)
    began = time.perf_counter()
    begun()
    ended = first
    while ended < tasks:
        time.sleep(LOOK_S)
        ended = done()
        _check(until)
    return ended - first, time.perf_counter() - began


def _check(until: float) -> None:
    if time.monotonic() > until:
        raise TimeoutError
    time.sleep(0.001)
