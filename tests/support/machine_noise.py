"""How much time the machine itself takes away: a process beside a test whose threads only sleep and look at the clock.

Whatever keeps these threads from waking in time (other programs, a virtual machine that stands still) keeps a worker
and a server from it, too. What a bound on time promises is therefore widened by it, and by nothing else.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from typing import NamedTuple, Self

PERIOD_S = 0.002
"""Pause between two looks: short enough that no stall that matters lies between them."""


class Noise(NamedTuple):
    """What a machine took away within some time, seconds."""

    longest_s: float
    """How much too late a thread woke at the worst."""
    typical_s: float
    """How much too late it woke in the middle of all cases."""


class NoiseProbe:
    """Measures the noise of all processors; a context manager."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-S", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.measured()  # it has begun
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def measured(self, *, forget: bool = False) -> Noise:
        """Return the noise since the begin, or since the last call with ``forget``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("forget\n" if forget else "\n")
        self._process.stdin.flush()
        return Noise(*json.loads(self._process.stdout.readline()))


def _look(processor: int | None, late_s: list[float]) -> None:
    if processor is not None:
        os.sched_setaffinity(0, [processor])  # of this thread
    while True:
        due = time.monotonic() + PERIOD_S
        time.sleep(PERIOD_S)
        late_s.append(time.monotonic() - due)


def _serve() -> None:
    processors: list[int | None] = list(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None]
    late_s: list[list[float]] = [[0.0] for _ in processors]
    for processor, found in zip(processors, late_s, strict=True):
        threading.Thread(target=_look, args=(processor, found), daemon=True).start()
    for line in sys.stdin:
        longest = max(max(found) for found in late_s)
        typical = max(statistics.median(found) for found in late_s)
        if line.strip():
            for found in late_s:
                found[:] = [0.0]
        print(json.dumps([longest, typical]), flush=True)


if __name__ == "__main__":
    _serve()
