"""An event loop that tasks share with the executor, and cannot end for each other."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context
from typing import Any, Final
from weakref import WeakSet

from streamtasks.tasks.attempt import Attempt, running_attempt

__all__ = ["OwnTask", "complete", "listen", "new_loop", "own_loops", "own_task"]

logger = logging.getLogger("streamtasks.worker")

MOST_STOPS: Final = 100
"""A loop that is stopped more often within a second does not get on any more."""

LISTEN_S: Final = 1.0

_running: Final[set[Attempt]] = set()
"""The attempts that run on a loop of this process."""


_loops: Final[WeakSet[asyncio.AbstractEventLoop]] = WeakSet()


class OwnTask[T](asyncio.Task[T]):
    """A task of the loop that other attempts cannot cancel, as code does that cancels ``asyncio.all_tasks()``.

    ``attempt``: the one that runs in it, or that has started it. While that runs, only it may cancel this task; tasks
    that it has left behind are anybody's.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], *, attempt: Attempt | None, **options: Any) -> None:
        self.attempt = attempt  # before the coroutine can begin
        super().__init__(coroutine, **options)

    def cancel(self, msg: Any | None = None) -> bool:
        """See `asyncio.Task.cancel`; return False if an attempt asks for it that does not own this task."""
        caller = running_attempt()
        if caller is None or caller is self.attempt or not (self.attempt is None or self.attempt in _running):
            return super().cancel(msg)
        logger.warning("task %s has tried to cancel what is not its own; nothing was cancelled", caller.id)
        return False


def own_task[T](
    coroutine: Coroutine[Any, Any, T],
    attempt: Attempt | None,
    loop: asyncio.AbstractEventLoop,
    context: Context | None = None,
    *,
    at_once: bool = False,
) -> OwnTask[T]:
    """Return a task of the loop in which an attempt runs.

    ``at_once``: up to its first wait it runs within this call, instead of in the next turn of the loop.
    """
    if attempt is not None:
        _running.add(attempt)
    task = OwnTask(coroutine, attempt=attempt, loop=loop, context=context, eager_start=at_once)
    if attempt is not None:
        task.add_done_callback(_has_ended)
    return task


def _has_ended(task: OwnTask[Any]) -> None:
    if task.attempt is not None:
        _running.discard(task.attempt)


def _start_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> OwnTask[Any]:
    """The loop's task factory: what an attempt starts belongs to it."""
    return OwnTask(coroutine, attempt=running_attempt(), loop=loop, **options)


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop on which attempts may run beside each other.

    What would take tasks or threads from all others is refused to attempts, and logged.
    """
    loop = asyncio.new_event_loop()
    _loops.add(loop)
    loop.set_task_factory(_start_task)
    set_task_factory, shut_down = loop.set_task_factory, loop.shutdown_default_executor

    def guarded_set_task_factory(factory: Any) -> None:
        if _allowed("set the task factory"):
            set_task_factory(factory)

    async def guarded_shut_down(*timeout_s: float) -> None:
        if _allowed("shut down the default executor"):
            await shut_down(*timeout_s)

    # On the object: the class of the loop is chosen by the project's event loop policy.
    vars(loop).update(set_task_factory=guarded_set_task_factory, shutdown_default_executor=guarded_shut_down)
    return loop


def own_loops() -> list[asyncio.AbstractEventLoop]:
    """Return the loops of this process that were made here and are not closed."""
    return [loop for loop in list(_loops) if not loop.is_closed()]


def _allowed(what: str) -> bool:
    caller = running_attempt()
    if caller is not None:
        logger.warning("task %s has tried to %s of the event loop, which others use; it was not done", caller.id, what)
    return caller is None


def listen(
    loop: asyncio.AbstractEventLoop, readers: Mapping[int, Callable[[], None]], may_go_on: Callable[[], bool]
) -> None:
    """Call functions when their descriptors are readable, from now on. Once a second what a task has removed is added.

    With that the loop also wakes for what threads have finished, should a task have closed what wakes it.
    """
    if may_go_on():
        for fd, function in readers.items():
            loop.add_reader(fd, function)
        loop.call_later(LISTEN_S, listen, loop, readers, may_go_on)


def complete[T](loop: asyncio.AbstractEventLoop, main: asyncio.Task[T]) -> T:
    """Run the loop until a task is done, and return its result. What else stops the loop is logged, and it goes on."""
    stops, since = 0, time.monotonic()
    while True:
        try:
            return loop.run_until_complete(main)
        except BaseException as error:
            if time.monotonic() - since > 1.0:
                stops, since = 0, time.monotonic()
            stops += 1
            if main.done() or loop.is_closed() or isinstance(error, OSError) or stops > MOST_STOPS:
                raise
            # Innocent coroutines are on this loop: to leave it would end them in the middle.
            logger.error("the event loop was stopped by a task (%r); it goes on", error)  # noqa: TRY400
