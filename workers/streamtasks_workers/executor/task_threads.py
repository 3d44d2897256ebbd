"""The threads of a child that run plain tasks: each takes what has waited longest, one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import NamedTuple

from streamtasks.stores.types import Outcome

from .prepared import Prepared
from .started_pool import started_pool

__all__ = ["Ran", "TaskThreads"]


class Ran(NamedTuple):
    """An attempt that has left its thread: when it started, monotonic ns; 0: it did not, and has no outcome."""

    slot: int
    prepared: Prepared
    started_ns: int
    outcome: Outcome | None


class TaskThreads:
    """Messages go straight from one queue to the thread that is free next: the event loop is not asked in between.

    All but `_work` is called on the loop's thread.

    Args:
        count: how many threads.
        run: runs an attempt, on one of them; returns when it started, and its outcome.
        broken: called on one of them with what ``run`` raised; never returns.

    Attributes:
        count: how many threads.
        in_hand: messages that wait or run here, or have run and were not taken yet.
    """

    def __init__(
        self,
        count: int,
        run: Callable[[Prepared, int], tuple[int, Outcome | None]],
        broken: Callable[[BaseException], object],
    ) -> None:
        self.count = count
        self.in_hand = 0
        self._run = run
        self._broken = broken
        self._queue: SimpleQueue[tuple[int, Prepared] | None] = SimpleQueue()
        self._ran: deque[Ran] = deque()
        self._is_told = False
        self._tell: Callable[[], object] = bool
        self._pool = started_pool(count)
        for _ in range(count):
            self._pool.submit(self._work)

    @property
    def waiting(self) -> int:
        """How many messages have no thread."""
        return max(0, self.in_hand - self.count)

    def listen(self, loop: asyncio.AbstractEventLoop, heard: Callable[[], object]) -> None:
        """Let a function be called on the loop when there is something to take."""
        self._tell = lambda: loop.call_soon_threadsafe(heard)

    def begin(self, slot: int, prepared: Prepared) -> None:
        """Let a thread run a message as soon as one is free."""
        self.in_hand += 1
        self._queue.put((slot, prepared))

    def take(self) -> Iterator[Ran]:
        """Yield what has left its thread since the last time."""
        self._is_told = False
        while self._ran:
            self.in_hand -= 1
            yield self._ran.popleft()

    def close(self) -> None:
        """Wait until everything has run, and end the threads."""
        for _ in range(self.count):
            self._queue.put(None)
        self._pool.shutdown()

    def _work(self) -> None:
        try:
            while (message := self._queue.get()) is not None:
                slot, prepared = message
                self._ran.append(Ran(slot, prepared, *self._run(prepared, slot)))
                if not self._is_told:
                    self._is_told = True
                    self._tell()
        except BaseException as error:  # noqa: BLE001 - its attempt has no outcome, and would seem to run for ever
            self._broken(error)
