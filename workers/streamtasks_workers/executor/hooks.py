"""Report outcomes to middleware and a task's own hooks. What they raise is logged and changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from streamtasks.application import Runnable
from streamtasks.tasks.attempt import Attempt, AttemptOutcome
from streamtasks.tasks.middleware import Middleware, overrides

__all__ = ["Hooks"]

logger = logging.getLogger("streamtasks.worker")


class Hooks:
    """Everything that is called with an outcome: a task's own hooks first, then middleware, the outermost last.

    ``has_middleware``: whether any middleware is called with the outcomes of all tasks.
    """

    def __init__(self, middleware: Sequence[Middleware]) -> None:
        after = [m for m in middleware if overrides(m, "after_outcome", "after_outcome_async")]
        self._middleware = after[::-1]
        self.has_middleware = bool(after)

    def report(self, runnable: Runnable, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """Call all of them, on this thread."""
        self._report_to_task(runnable, attempt, outcome)
        for middleware in self._middleware:
            try:
                middleware.after_outcome(attempt, outcome)
            except BaseException:  # noqa: BLE001 - logged there; a hook may not change an outcome
                _failed(f"{type(middleware).__name__}.after_outcome", attempt)

    async def areport(self, runnable: Runnable, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """Call all of them, on this event loop."""
        self._report_to_task(runnable, attempt, outcome)
        for middleware in self._middleware:
            try:
                await middleware.after_outcome_async(attempt, outcome)
            except BaseException:  # noqa: BLE001 - logged there; a hook may not change an outcome
                _failed(f"{type(middleware).__name__}.after_outcome", attempt)

    @staticmethod
    def _report_to_task(runnable: Runnable, attempt: Attempt, outcome: AttemptOutcome) -> None:
        if not runnable.run_options.has_hooks:
            return
        try:
            runnable.after(attempt, outcome)
        except BaseException:  # noqa: BLE001 - logged there; a hook may not change an outcome
            _failed("a hook", attempt)


def _failed(what: str, attempt: Attempt) -> None:
    logger.exception("%s failed for task %s (%s)", what, attempt.id, attempt.message.task)  # noqa: LOG004
