"""The coroutine attempts of a child: so many at once on its event loop, the next begins when one has ended."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from .own_loop import own_task
from .prepared import Prepared

__all__ = ["TaskCoroutines"]


class TaskCoroutines:
    """All is called on the loop.

    Args:
        most: how many run at once.
        run: returns the coroutine of an attempt.
        begun: called when one begins.
        ended: called when one has ended.
        broken: called with what a coroutine raised; never returns.
    """

    def __init__(
        self,
        most: int,
        run: Callable[[Prepared, int], Coroutine[Any, Any, None]],
        begun: Callable[[int, Prepared], object],
        ended: Callable[[], object],
        broken: Callable[[BaseException], object],
    ) -> None:
        self._most = most
        self._run = run
        self._begun = begun
        self._ended = ended
        self._broken = broken
        self._running: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[int, Prepared]] = deque()

    @property
    def waiting(self) -> int:
        """How many messages have no place."""
        return len(self._waiting)

    @property
    def in_hand(self) -> int:
        """How many messages wait or run here."""
        return len(self._running) + len(self._waiting)

    def begin(self, slot: int, prepared: Prepared) -> None:
        """Run a message as soon as there is a place."""
        if len(self._running) >= self._most:
            self._waiting.append((slot, prepared))
        else:
            self._begin(slot, prepared, at_once=False)  # what was claimed with it shall be in hand before it runs

    def _begin(self, slot: int, prepared: Prepared, *, at_once: bool) -> None:
        self._begun(slot, prepared)
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        task = own_task(self._run(prepared, slot), prepared.attempt, loop, context, at_once=at_once)
        self._running.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._broken(error)  # this attempt has no outcome, and would seem to run for ever
        if self._waiting:
            self._begin(*self._waiting.popleft(), at_once=True)
        self._ended()
