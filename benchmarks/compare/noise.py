"""How noisy the machine was: the same work timed again and again, the load, and what others took of the processors."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any


def measure(repeats: int = 15) -> dict[str, Any]:
    """Time a fixed loop, and look at the load."""
    times = sorted(_loop_ms() for _ in range(repeats))
    return {
        "loop_ms": {"min": times[0], "median": statistics.median(times), "max": times[-1]},
        "load_average": os.getloadavg(),
        "stolen_s": _stolen_s(),
    }


def _loop_ms() -> float:
    begun = time.perf_counter()
    total = 0
    for number in range(200_000):
        total += number * number % 7
    return (time.perf_counter() - begun) * 1000


def _stolen_s() -> float | None:
    """Return the seconds that the host has kept from all processors since the start, where it says so."""
    try:
        fields = Path("/proc/stat").read_text("utf-8").splitlines()[0].split()
    except OSError:
        return None
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")
