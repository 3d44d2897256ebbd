"""An event loop that tasks share with the executor, and cannot end for each other."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final

from streamtasks.tasks.attempt import Attempt, running_attempt

__all__ = ["OwnTask", "complete"]

logger = logging.getLogger("streamtasks.worker")

MOST_STOPS: Final = 100
"""A loop that is stopped more often within a second does not get on any more."""


class OwnTask[T](asyncio.Task[T]):
    """A task of the loop that other attempts cannot cancel, as code does that cancels ``asyncio.all_tasks()``.

    ``attempt``: the attempt that runs in it; it, and what it starts, may cancel this task.
    """

    attempt: Attempt | None = None

    def cancel(self, msg: Any | None = None) -> bool:
        """See `asyncio.Task.cancel`; return False if an attempt asks for it that does not run here."""
        caller = running_attempt()
        if caller is not None and caller is not self.attempt:
            logger.warning("task %s has tried to cancel what is not its own; nothing was cancelled", caller.id)
            return False
        return super().cancel(msg)


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
