"""Produce tasks in the environment of one system, as the comparison asks for: one JSON object a line, in and out."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from typing import Any

from compare.peer import Peer

PATIENCE_S = 50
"""How long one result may take."""


class Driver:
    """The timed loops."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.handles: list[Any] = []

    def about(self) -> dict[str, Any]:
        """Return what the comparison must know of the system."""
        environment = {name: value for name, value in os.environ.items() if name.startswith(("COMPARE_", "DJANGO_"))}
        counter = self.peer.counter
        return {"counter": counter.command, "database": counter.database, "environment": environment}

    def worker(self, processes: int) -> list[list[str]]:
        """Return the commands of workers."""
        return self.peer.worker(processes)

    def start(self) -> None:
        """Prepare the emptied server."""
        self.handles = []
        self.peer.run(self.peer.start())

    def fill(self, task: str, count: int, size: int = 0) -> dict[str, float] | None:
        """Enqueue tasks, by one call for many if there is one, and return what it took."""
        return self.many(task, count, size) if self.peer.has_many else self.each(task, count, size)

    def each(self, task: str, count: int, size: int = 0) -> dict[str, float]:
        """Enqueue tasks one by one."""
        args = ("x" * size,) if size else ()

        async def work() -> None:
            enqueue, keep = self.peer.enqueue, self.handles.append
            for _ in range(count):
                keep(await enqueue(task, *args))

        return self._timed(work, count)

    def many(self, task: str, count: int, size: int = 0) -> dict[str, float] | None:
        """Enqueue tasks by one call for many; None if there is no such call."""
        if not self.peer.has_many:
            return None
        args = ("x" * size,) if size else ()

        async def work() -> None:
            self.handles += await self.peer.enqueue_many(task, [args] * count)

        return self._timed(work, count)

    def _timed(self, work: Any, count: int) -> dict[str, float]:
        cpu, begun = time.process_time(), time.perf_counter()
        self.peer.run(work())
        spent = time.perf_counter() - begun
        return {"per_s": count / spent, "cpu_us": (time.process_time() - cpu) / count * 1e6}

    def paced(self, count: int, per_s: float) -> list[float]:
        """Return the ms from each call to the start of its task, at a steady rate."""

        async def work() -> list[float]:
            called, handles = [], []
            begun = time.monotonic()
            for number in range(count):
                await self.peer.sleep(max(0.0, begun + number / per_s - time.monotonic()))
                called.append(time.monotonic())
                handles.append(await self.peer.enqueue("now"))
            started = [await self.peer.result(handle, PATIENCE_S) for handle in handles]
            return [(start - call) * 1000 for start, call in zip(started, called, strict=True)]

        return self.peer.run(work())

    def round_trips(self, count: int, within_s: float) -> list[float]:
        """Return the ms from calls to their results in the caller, one after the other, as many as the time allows."""

        async def work() -> list[float]:
            found: list[float] = []
            end = time.monotonic() + within_s
            while len(found) < count and (time.monotonic() < end or not found):
                begun = time.perf_counter()
                await self.peer.result(await self.peer.enqueue("noop"), PATIENCE_S)
                found.append((time.perf_counter() - begun) * 1000)
            return found

        return self.peer.run(work())

    def check(self, count: int) -> None:
        """Run tasks with different arguments, and compare their results."""

        async def work() -> None:
            handles = [await self.peer.enqueue("take", "x" * size) for size in range(count)]
            if self.peer.has_many:
                calls = [("x" * size,) for size in range(count)]
                handles += await self.peer.enqueue_many("take", calls)
            found = [await self.peer.result(handle, PATIENCE_S) for handle in handles]
            expected = list(range(count)) * (len(handles) // count)
            if found != expected:
                raise AssertionError(f"results are {found}, not {expected}")
            self.handles += handles

        self.peer.run(work())

    def results(self, count: int) -> int:
        """Read the stored results of a sample of what was enqueued; return how many there are."""

        async def work() -> int:
            sample = self.handles[:: max(1, len(self.handles) // count)]
            found = [await self.peer.result(handle, PATIENCE_S) for handle in sample]
            if wrong := [value for value in found if value != 1]:
                raise AssertionError(f"stored results are {wrong[:5]}, not 1")
            return len(found)

        return self.peer.run(work())


def main() -> None:
    """Serve requests until the input ends."""
    # What a system prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    module = importlib.import_module(f"compare.peers.{sys.argv[1]}")
    driver = Driver(module.System())
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"value": getattr(driver, request.pop("do"))(**request)}
        except Exception as error:  # noqa: BLE001 - the comparison goes on without this system
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
