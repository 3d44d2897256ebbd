"""Measure how long the command line takes to show its help: the median of five starts of each command.

    uv run python benchmarks/startup.py

Where the time goes: ``python -X importtime .venv/bin/streamtasks --help``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ASKED_S = 0.3
STARTS = 5
COMMANDS = (
    "streamtasks --help",
    "streamtasks worker --help",
    "streamtasks schedules --help",
    "streamtasks demo --help",
    "streamtasks-worker --help",
)


def start_s(words: list[str]) -> float:
    """Return the seconds from the start of a command to its end."""
    began = time.perf_counter()
    subprocess.run([Path(sys.executable).parent / words[0], *words[1:]], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    print(f"{'command':32} {'median':>8} {'worst':>8} {'asked':>8}")
    for command in COMMANDS:
        times = [start_s(command.split()) for _ in range(STARTS)]
        print(f"{command:32} {statistics.median(times):6.3f} s {max(times):6.3f} s {ASKED_S:6.3f} s")


if __name__ == "__main__":
    main()
