"""What an exception of a task means: a failure, a retry, or an end without a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamtasks.exceptions import Ignore, InvalidTask, ParentFailed, Retry, StoreError, TaskRevoked
from streamtasks.protocol.message import Message
from streamtasks.protocol.state import Snapshot, State
from streamtasks.protocol.validation import is_number
from streamtasks.results.snapshot_view import error_of
from streamtasks.tasks.attempt import AttemptOutcome
from streamtasks.tasks.run_options import RunOptions

__all__ = ["cause_of", "judge", "may_retry", "outcome_of_skipped"]


def judge(message: Message, options: RunOptions, retries: int, error: BaseException) -> AttemptOutcome:
    """Decide what an exception means.

    Args:
        message: what was run.
        options: what its task says.
        retries: attempts before this one that asked to be run again.
        error: what ended the attempt.
    """
    if isinstance(error, Ignore):
        return AttemptOutcome(State.IGNORED, error=error)
    if isinstance(error, Retry):
        return _retry(message, options, retries, error)
    if options.autoretry_for and options.retries_by_itself(error) and may_retry(_most(message, options), retries):
        return AttemptOutcome(State.RETRY, error=error, delay_s=_automatic_delay_s(message, options, retries))
    return AttemptOutcome(State.FAILURE, error=error)


def _retry(message: Message, options: RunOptions, retries: int, asked: Retry) -> AttemptOutcome:
    most = _most(message, options) if asked.max_retries is None else asked.max_retries
    if not may_retry(most, retries):
        # The reason for retrying is what finally failed.
        reason = asked.exc if asked.exc is not None else asked.__cause__
        return AttemptOutcome(State.FAILURE, error=asked if reason is None else reason)
    delay_s = asked.delay_s
    if delay_s is None:
        delay_s = options.retry_delay_s if message.retry_delay_s is None else message.retry_delay_s
    if not is_number(delay_s):
        error = InvalidTask(f"Retry's delay_s is {delay_s!r}; it must be a number of seconds.")
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


def outcome_of_skipped(message: Message, skip_reason: str, cause: str = "") -> AttemptOutcome:
    """Return how a message ends that must not run; ``cause``: why its parent failed."""
    why, _, whom = skip_reason.partition(" ")
    if why == "parent":
        because = f": {cause}" if cause else ""
        error = ParentFailed(
            f"Task {message.id} was not run: task {whom}, which it follows, did not succeed{because or '.'}"
        )
        return AttemptOutcome(State.FAILURE, error=error)
    if why == "late":
        error = ParentFailed(f"Task {message.id} was not run: the group that it follows was not finished in time.")
        return AttemptOutcome(State.FAILURE, error=error)
    return AttemptOutcome(State.REVOKED, error=TaskRevoked(f"Task {message.id} was revoked before it started."))


def cause_of(skip_reason: str, read: Callable[[Sequence[str]], list[Snapshot | None]]) -> str:
    """Return why the parent of a doomed message failed; empty if that is not known, or cannot be read now."""
    why, _, parent = skip_reason.partition(" ")
    if why != "parent":
        return ""
    try:
        [snapshot] = read([parent])
    except StoreError:
        return ""
    if snapshot is None:
        return "nothing is known of it (it was never enqueued here, or its result has expired)"
    if not snapshot.is_finished:
        return ""
    error = error_of(snapshot)
    if error is None:
        return ""
    name, text = str(error.get("type") or "").rpartition(".")[2], str(error.get("message") or "")
    if name == ParentFailed.__name__:
        return text.partition("did not succeed: ")[2] or text
    return f"{name}: {text}"
