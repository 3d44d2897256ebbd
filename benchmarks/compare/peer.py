"""What the file of a system provides: a class `System`, made of these methods.

The loops that are timed stand in ``driver.py``, once for all systems. They are coroutines: those of a synchronous
system never wait, so they run without an event loop at the cost of a plain call.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar

URL = os.environ.get("COMPARE_URL", "redis://127.0.0.1:1/0")
RESULTS_URL = URL.removesuffix("/0") + "/1"
"""A second database of the same server, for results of systems whose keys could not be counted otherwise."""
KEEP_S = 86_400
"""How long every system keeps results."""

T = TypeVar("T")


class Counter(NamedTuple):
    """How many tasks have finished, as one cheap command: its reply is the number."""

    command: tuple[str, ...]
    database: int = 0


def noop() -> int:
    """Do nothing."""
    return 1


def take(text: str) -> int:
    """Take an argument."""
    return len(text)


def now() -> float:
    """Return the time of its start: the clock is the same in all processes of a machine."""
    return time.monotonic()


class Peer:
    """A system with a synchronous client."""

    counter: Counter
    has_many = False
    """Whether it offers a call that enqueues many tasks."""

    async def start(self) -> None:
        """Prepare the emptied server, if the system needs that."""

    async def enqueue(self, task: str, *args: Any) -> Any:
        """Enqueue `noop`, `take` or `now`, and return a handle."""
        raise NotImplementedError

    async def enqueue_many(self, task: str, calls: Sequence[tuple[Any, ...]]) -> Sequence[Any]:
        """Enqueue many calls of a task by the one call that the system has for it; return handles."""
        raise NotImplementedError

    async def result(self, handle: Any, timeout_s: float) -> Any:
        """Wait for a result in the quickest way that the system offers."""
        raise NotImplementedError

    def worker(self, processes: int) -> list[list[str]]:
        """Return the commands, without the interpreter, that start workers with so many processes that run tasks."""
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - there is no loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        try:
            work.send(None)
        except StopIteration as stop:
            value: T = stop.value
            return value
        raise RuntimeError("a synchronous system has waited")

    async def poll(self, read: Any, timeout_s: float, every_s: float = 0.0005) -> Any:
        """Call a function until it returns something else than None."""
        deadline = time.monotonic() + timeout_s
        while (value := read()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no result within {timeout_s} s")
            await self.sleep(every_s)
        return value


class AsyncPeer(Peer):
    """A system with an asynchronous client."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)
