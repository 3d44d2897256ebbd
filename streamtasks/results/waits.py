"""Refuse to wait for a result inside a task."""

from __future__ import annotations

from ..exceptions import WaitInTask
from ..protocol.running_attempt import RUNNING

__all__ = ["is_refused", "refusal"]


def is_refused(timeout: float | None, *, allow_wait: bool) -> bool:
    """Return whether a task is running here that may not wait.

    Args:
        timeout: of the wait, s; 0 is no wait.
        allow_wait: whether the caller allows it.
    """
    return not allow_wait and RUNNING.get() is not None and (timeout is None or timeout > 0)


def refusal(what: str) -> WaitInTask:
    """Return the error of a refused wait; ``what``: the awaited thing."""
    attempt = RUNNING.get()
    return WaitInTask(
        f"Task {attempt.id} ({attempt.message.task}) would wait for {what}, which is not finished, and keep its place "
        "in a worker meanwhile: when all places are kept so, nothing is left to run what they wait for. Continue with "
        "the result in another task by chain(), chord() or link=, or pass allow_wait=True if other workers run it."
    )
