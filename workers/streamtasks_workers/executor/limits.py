"""The time limits of an attempt: the call's, else the task's, else the worker's."""

from __future__ import annotations

from typing import NamedTuple

from streamtasks.exceptions import SoftTimeLimitExceeded, TaskRevoked, TimeLimitExceeded
from streamtasks.protocol.message import Message
from streamtasks.protocol.state import State
from streamtasks.tasks.run_options import RunOptions

from ..process.board import Interrupt
from .error_outcome import outcome_of_error

__all__ = ["NO_LIMITS", "Limits", "explained", "limit_exceeded", "limits_of"]


class Limits(NamedTuple):
    """``soft_s`` and ``hard_s``: seconds, None: none. ``retry_ms``: as `Board.limit` takes it."""

    soft_s: float | None = None
    hard_s: float | None = None
    retry_ms: int = -1


NO_LIMITS = Limits()


def limits_of(message: Message, options: RunOptions, retries: int, default: Limits) -> Limits | None:
    """Return the limits that are in force; None if there are none."""
    soft_s, hard_s = message.soft_limit_s, message.hard_limit_s
    if soft_s is None:
        soft_s = default.soft_s if options.soft_time_limit_s is None else options.soft_time_limit_s
    if hard_s is None:
        hard_s = default.hard_s if options.time_limit_s is None else options.time_limit_s
    if hard_s is None:
        return None if soft_s is None else Limits(soft_s, None)
    if options.autoretry_for:
        outcome = outcome_of_error(message, options, retries, TimeLimitExceeded())
        if outcome.state == State.RETRY:
            return Limits(soft_s, hard_s, round(outcome.delay_s * 1000))
    return Limits(soft_s, hard_s)


def limit_exceeded(hard_s: float) -> TimeLimitExceeded:
    """Return the error of an attempt that was ended."""
    return TimeLimitExceeded(f"It ran for longer than its time limit of {hard_s:g} s and was ended.")


def explained(kind: int, error: BaseException, task_id: str, limits: Limits | None) -> BaseException:
    """Return the error of an attempt that was interrupted: with the limit in its text; a decision of the worker wins.

    Args:
        kind: why it was interrupted, see `Interrupt`.
        error: what came out of it.
        task_id: its id.
        limits: its limits.
    """
    if kind == Interrupt.REVOKED:
        revoked = TaskRevoked(f"Task {task_id} was revoked while it ran.")
        return revoked.with_traceback(error.__traceback__)
    if limits is None:
        return error
    if kind == Interrupt.HARD_LIMIT and limits.hard_s is not None:
        return limit_exceeded(limits.hard_s).with_traceback(error.__traceback__)
    if isinstance(error, SoftTimeLimitExceeded) and not error.args and limits.soft_s is not None:
        error.args = (f"It ran for longer than its soft time limit of {limits.soft_s:g} s.",)
    return error
