"""Signals that a running task raises to say how it goes on; they are no errors.

Users import them from `streamtasks.exceptions`, which is also the path that records of attempts name.
"""

from __future__ import annotations

__all__ = ["ControlFlow", "Ignore", "Retry"]


class ControlFlow(Exception):
    """Base of what a task raises to say how it goes on: no error, and nothing to report."""

    __module__ = "streamtasks.exceptions"


class Ignore(ControlFlow):
    """Raise it in a task to end the task with neither a result nor a failure."""

    __module__ = "streamtasks.exceptions"


class Retry(ControlFlow):
    """Raise it in a task to retry the task after ``delay_s`` seconds.

    Args:
        message: the reason, kept with the attempt.
        delay_s: seconds until the next attempt; ``None``: the task's own default.
        exc: the error that is the reason; it becomes the task's error if no retries are left.
        max_retries: most retries, instead of the task's own; -1: without end.
    """

    __module__ = "streamtasks.exceptions"

    def __init__(
        self,
        message: str = "",
        *,
        delay_s: float | None = None,
        exc: BaseException | None = None,
        max_retries: int | None = None,
    ) -> None:
        super().__init__(message)
        self.delay_s = delay_s
        self.exc = exc
        self.max_retries = max_retries
