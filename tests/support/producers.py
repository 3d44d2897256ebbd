"""Producers that enqueue all the time, a thread and an event loop, and note what was acknowledged, and when."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Self

from streamtasks import StreamTasks
from streamtasks.exceptions import StreamTasksError
from tests.support.waiting import DEADLINE_S, wait_until


class Acknowledged(NamedTuple):
    """One acknowledged message, and when it was, monotonic seconds."""

    id: str
    at: float


class Producers:
    """Two of them; a context manager.

    Args:
        app: with the task.
        task: its name.
        arguments: of each call.
        pause_s: between two calls of a producer.
    """

    def __init__(self, app: StreamTasks, task: str, arguments: tuple[object, ...], pause_s: float = 0.004) -> None:
        self._task = app.tasks[task]
        self._arguments = arguments
        self._pause_s = pause_s
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._call),
            threading.Thread(target=lambda: asyncio.run(self._acall())),
        ]
        self.acknowledged: tuple[list[Acknowledged], list[Acknowledged]] = ([], [])
        self.errors: list[Exception] = []
        self.longest_call_s = 0.0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join()

    @property
    def all(self) -> list[Acknowledged]:
        """What was acknowledged so far."""
        return [*self.acknowledged[0], *self.acknowledged[1]]

    def wait_for_more(self, count: int) -> None:
        """Wait until each has had so many further acknowledgements."""
        wanted = [len(one) + count for one in self.acknowledged]
        wait_until(
            lambda: all(len(one) >= n for one, n in zip(self.acknowledged, wanted, strict=True)),
            f"{count} more acknowledged; {self.errors[-1:]}",
            2 * DEADLINE_S,
        )

    @property
    def longest_pauses_s(self) -> list[float]:
        """The longest time between two acknowledgements of each."""
        return [_longest([one.at for one in each]) for each in self.acknowledged]

    def _call(self) -> None:
        while not self._stopping:
            began = time.monotonic()
            try:
                made = self._task.enqueue(*self._arguments)
            except StreamTasksError as error:
                self.errors.append(error)
            else:
                self.acknowledged[0].append(Acknowledged(made.id, time.monotonic()))
            self.longest_call_s = max(self.longest_call_s, time.monotonic() - began)
            time.sleep(self._pause_s)

    async def _acall(self) -> None:
        while not self._stopping:
            began = time.monotonic()
            try:
                made = await self._task.aenqueue(*self._arguments)
            except StreamTasksError as error:
                self.errors.append(error)
            else:
                self.acknowledged[1].append(Acknowledged(made.id, time.monotonic()))
            self.longest_call_s = max(self.longest_call_s, time.monotonic() - began)
            await asyncio.sleep(self._pause_s)


def _longest(times: Sequence[float]) -> float:
    return max(later - earlier for earlier, later in pairwise(times))
