"""Outcomes of messages that must not start: revoked, expired, or after a parent that failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamtasks.exceptions import ParentFailed, StoreError, TaskRevoked
from streamtasks.protocol.message import Message
from streamtasks.protocol.state import Snapshot, State
from streamtasks.results.snapshot_view import error_of
from streamtasks.tasks.attempt import AttemptOutcome

__all__ = ["Read", "outcome_of_skipped"]

type Read = Callable[[Sequence[str]], list[Snapshot | None]]
"""`Store.read`."""


def outcome_of_skipped(message: Message, why: str, read: Read) -> AttemptOutcome:
    """Return how a message ends that must not start; ``why`` as in `Claimed.skip_reason`."""
    kind, _, parent = why.partition(" ")
    if kind == "parent":
        cause = _cause(parent, read)
        error = ParentFailed(
            f"Task {message.id} was not run: task {parent}, which it follows, did not succeed"
            + (f": {cause}" if cause else ".")
        )
        return AttemptOutcome(State.FAILURE, error=error)
    if kind == "late":
        error = ParentFailed(f"Task {message.id} was not run: the group that it follows was not finished in time.")
        return AttemptOutcome(State.FAILURE, error=error)
    return AttemptOutcome(State.REVOKED, error=TaskRevoked(f"Task {message.id} was revoked before it started."))


def _cause(parent: str, read: Read) -> str:
    """Return why a parent failed; empty if that is not known, or cannot be read now."""
    try:
        [snapshot] = read([parent])
    except StoreError:
        return ""
    if snapshot is None:
        return "nothing is known of it (it was never enqueued here, or its result has expired)"
    error = error_of(snapshot) if snapshot.is_finished else None
    if error is None:
        return ""
    name, text = str(error.get("type") or "").rpartition(".")[2], str(error.get("message") or "")
    if name == ParentFailed.__name__:
        return text.partition("did not succeed: ")[2] or text
    return f"{name}: {text}"
