"""Decide what an exception of a task means: a failure, a retry, or an end without a result."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from streamtasks.exceptions import Ignore, InvalidTask, Retry
from streamtasks.protocol.message import Message
from streamtasks.protocol.state import State
from streamtasks.protocol.validation import MAX_SECONDS, is_number
from streamtasks.tasks.attempt import Attempt, AttemptOutcome
from streamtasks.tasks.run_options import DelayOf, RunOptions

__all__ = ["may_retry", "outcome_of_error"]


logger = logging.getLogger("streamtasks.worker")


def outcome_of_error(
    message: Message, options: RunOptions, retries: int, error: BaseException, attempt: Attempt | None = None
) -> AttemptOutcome:
    """Decide what an exception means.

    Args:
        message: what was run.
        options: those of its task.
        retries: attempts before this one that asked to be run again.
        error: what ended the attempt.
        attempt: it, for ``delay_of``, which is not asked without it.
    """
    if isinstance(error, Ignore):
        return AttemptOutcome(State.IGNORED, error=error)
    if isinstance(error, Retry):
        return _retry(message, options, retries, error)
    if options.autoretry_for and options.retries_by_itself(error) and may_retry(_most(message, options), retries):
        if options.delay_of is not None and attempt is not None:
            return _asked(options.delay_of, error, attempt)
        return AttemptOutcome(State.RETRY, error=error, delay_s=_automatic_delay_s(message, options, retries))
    return AttemptOutcome(State.FAILURE, error=error)


def _asked(delay_of: DelayOf, error: BaseException, attempt: Attempt) -> AttemptOutcome:
    """Ask the function of the user; one that fails, or returns no delay, ends the retries."""
    delay_s: Any = None
    try:
        delay_s = delay_of(error, attempt)
    except Exception:
        logger.exception("backoff of task %s (%s) failed, so it is not retried", attempt.id, attempt.message.task)
    if isinstance(delay_s, timedelta):
        delay_s = delay_s.total_seconds()
    if delay_s is not None and (not is_number(delay_s) or not 0 <= delay_s <= MAX_SECONDS):
        logger.error(
            "backoff of task %s (%s) returned %r, so it is not retried; return seconds from 0, a timedelta, or None",
            attempt.id,
            attempt.message.task,
            delay_s,
        )
        delay_s = None
    if delay_s is None:
        return AttemptOutcome(State.FAILURE, error=error)
    return AttemptOutcome(State.RETRY, error=error, delay_s=delay_s)


def _retry(message: Message, options: RunOptions, retries: int, asked: Retry) -> AttemptOutcome:
    most = _most(message, options) if asked.max_retries is None else asked.max_retries
    if not may_retry(most, retries):
        # The reason for retrying is what finally failed.
        reason = asked.exc if asked.exc is not None else asked.__cause__
        return AttemptOutcome(State.FAILURE, error=asked if reason is None else reason)
    delay_s = asked.delay_s
    if delay_s is None:
        delay_s = options.retry_delay_s if message.retry_delay_s is None else message.retry_delay_s
    if not is_number(delay_s) or delay_s > MAX_SECONDS:
        error = InvalidTask(f"Retry's delay_s is {delay_s!r}; it must be a number of seconds up to 100 years.")
        return AttemptOutcome(State.FAILURE, error=error)
    return AttemptOutcome(State.RETRY, error=asked if asked.exc is None else asked.exc, delay_s=max(0.0, delay_s))


def _most(message: Message, options: RunOptions) -> int | None:
    return options.max_retries if message.max_retries is None else message.max_retries


def may_retry(most: int | None, retries: int) -> bool:
    """Whether a task that was retried so often may be retried once more; None and -1: without end."""
    return most is None or most < 0 or retries < most


def _automatic_delay_s(message: Message, options: RunOptions, retries: int) -> float:
    if message.retry_delay_s is not None and not options.retry_backoff_s:
        return message.retry_delay_s
    return options.automatic_delay_s(retries)
