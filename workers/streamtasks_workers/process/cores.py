"""How many processors this process may use: affinity and the quotas of its control groups count."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["usable_cores"]

_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN_CGROUP: Final = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Return the number of processors that this process may use, at least 1; part of one counts as one."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = min(_quotas(_CGROUPS, _OWN_CGROUP), default=math.inf)
    return max(1, min(affinity, math.ceil(quota) if math.isfinite(quota) else affinity))


def _quotas(root: Path, own: Path) -> Iterator[float]:
    """Yield the quotas that hold for this process, in processors: of its control group and of all above it."""
    try:
        groups = [line.split(":", 2) for line in own.read_text().splitlines()]
    except (OSError, ValueError):
        return  # not Linux
    for _, controllers, path in (group for group in groups if len(group) == 3):
        relative = path.strip("/")
        if controllers == "":
            base, read = root, _quota
        elif "cpu" in controllers.split(","):
            base, read = root / "cpu", _quota_of_version_1
        else:
            continue
        # In a container the path may be that of the host: then only the top is there.
        for folder in (base / relative, *(base / relative).parents):
            if (quota := read(folder)) is not None and quota > 0:
                yield quota
            if folder == base:
                break


def _quota(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_of_version_1(folder: Path) -> float | None:
    try:
        return int((folder / "cpu.cfs_quota_us").read_text()) / int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError, ZeroDivisionError):
        return None
