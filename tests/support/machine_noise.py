"""How much time the machine itself takes away: processes beside a test that only sleep, wake and look at the clock.

Whatever keeps the threads of one from waking in time (other programs, a virtual machine that stands still) keeps a
worker and a server from it, too. What a bound on time promises is therefore widened by it, and by nothing else.

These threads hardly sleep, so that they do not see a machine that is slow only after a pause: its processor has to be
woken, and its caches were emptied by others meanwhile. Two further processes pause, and then wake one another.
"""

from __future__ import annotations

import inspect
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple, Self, cast

PERIOD_S = 0.002
"""Pause between two looks: short enough that no stall that matters lies between them."""

PAUSE_S = 0.2
"""Pause before a chain of wakes: long enough for others to use the processor and its caches."""
_WARM_CHAINS = 3
_RESULT = struct.Struct("d")


class Noise(NamedTuple):
    """What a machine took away within some time, seconds."""

    longest_s: float
    """How much too late a thread woke at the worst."""
    typical_s: float
    """How much too late it woke in the middle of all cases."""
    after_pause_s: float
    """How much longer two processes that have slept need to wake one another than right afterwards, in the middle."""


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


def _work() -> None:
    """About a millisecond of what a process does that was woken: much code, and objects all over its memory."""
    for number in range(3):
        text = json.dumps({"id": f"{number:032x}", "args": [number, {"of": [number] * 5}]}, indent=1)
        names: dict[str, object] = {}
        exec(compile(f"def double(text: str = {text!r}) -> str:\n    return text + text\n", "<work>", "exec"), names)
        assert "text" in str(inspect.signature(cast("Callable[[], str]", names["double"])))
        try:
            json.loads(text[1:])
        except ValueError as error:
            traceback.format_exception(error)


def _answer(ours: socket.socket) -> None:
    while asked := ours.recv(1):
        _work()
        ours.sendall(asked)


def _chain(other: socket.socket) -> None:
    _work()
    other.sendall(b".")
    other.recv(1)


def _pause_and_wake(results: int, other: socket.socket) -> None:
    """Report without end how much longer a chain of wakes takes after a pause."""
    while True:
        due = time.monotonic() + PAUSE_S
        time.sleep(PAUSE_S)
        _chain(other)
        cold_s = time.monotonic() - due
        warm_s = cold_s
        for _ in range(_WARM_CHAINS):
            began = time.monotonic()
            _chain(other)
            warm_s = min(warm_s, time.monotonic() - began)
        os.write(results, _RESULT.pack(cold_s - warm_s))


def _start_pausing() -> int:
    """Fork the two processes; return where they report. They end with this one: nobody reads any more then."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        return reading
    os.close(reading)
    os.close(sys.stdin.fileno())
    ours, theirs = socket.socketpair()
    try:
        if os.fork():
            theirs.close()
            _pause_and_wake(writing, ours)
        else:
            os.close(writing)
            ours.close()
            _answer(theirs)
    finally:
        os._exit(0)


def _collect(reading: int, found_s: list[float]) -> None:
    while data := os.read(reading, _RESULT.size):
        found_s.append(_RESULT.unpack(data)[0])


def _serve() -> None:
    after_pause_s = [0.0]
    threading.Thread(target=_collect, args=(_start_pausing(), after_pause_s), daemon=True).start()
    processors: list[int | None] = list(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None]
    late_s: list[list[float]] = [[0.0] for _ in processors]
    for processor, found in zip(processors, late_s, strict=True):
        threading.Thread(target=_look, args=(processor, found), daemon=True).start()
    for line in sys.stdin:
        longest = max(max(found) for found in late_s)
        typical = max(statistics.median(found) for found in late_s)
        after_pause = statistics.median(after_pause_s)
        if line.strip():
            for found in (*late_s, after_pause_s):
                found[:] = [0.0]
        print(json.dumps([longest, typical, after_pause]), flush=True)


if __name__ == "__main__":
    _serve()
