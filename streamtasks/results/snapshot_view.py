"""The state, progress, value, error and followers of a task, from a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..exceptions import DecodeError, TaskRevoked, WorkerCrashed
from ..protocol.errors import describe, rebuild
from ..protocol.links import result_id
from ..protocol.message import Message
from ..protocol.state import Snapshot, State

__all__ = ["children_of", "error_of", "failure_of", "info_of", "outcome_of", "shown_state", "value_of"]

_SUCCESSFUL = (State.SUCCESS, State.IGNORED)


def _report(snapshot: Snapshot) -> tuple[str, Any] | None:
    if snapshot.is_finished or not snapshot.progress:
        return None
    try:
        return snapshot.report()
    except (DecodeError, KeyError, TypeError):  # of another release: a result must be readable all the same
        return None


def shown_state(snapshot: Snapshot) -> str:
    """Return the state, or the word that a running task shows instead."""
    report = _report(snapshot) if snapshot.state == State.PROGRESS else None
    return snapshot.state.value if report is None else report[0]


def info_of(snapshot: Snapshot) -> Any:
    """Return the last progress of a running task, a JSON value; None if there is none."""
    report = _report(snapshot)
    return None if report is None else report[1]


def outcome_of(snapshot: Snapshot) -> dict[str, Any]:
    """Return the outcome of a finished task: ``{"r": value}``, ``{"e": error}`` or an empty dict."""
    try:
        return snapshot.outcome()
    except DecodeError as unreadable:
        return {"e": describe(unreadable)}


def error_of(snapshot: Snapshot) -> dict[str, Any] | None:
    """Return the error of a failed task as `errors.describe` returns it; None if it has not failed.

    Outcomes that were decided without the task's code have errors of this package.
    """
    if not snapshot.is_finished or snapshot.state in _SUCCESSFUL:
        return None
    if snapshot.state in (State.REVOKED, State.EXPIRED):
        return describe(_revoked(snapshot))
    error = outcome_of(snapshot).get("e")
    if isinstance(error, dict):
        return error
    return describe(WorkerCrashed(f"Task {snapshot.id} was given up on."))


def failure_of(snapshot: Snapshot) -> Exception | None:
    """Return the exception of a failed task; None if it has not failed."""
    error = error_of(snapshot)
    if error is None:
        return None
    return _revoked(snapshot) if snapshot.state in (State.REVOKED, State.EXPIRED) else rebuild(error)


def value_of(snapshot: Snapshot) -> Any:
    """Return what a finished task returned; None for an ignored one.

    Raises:
        TaskRevoked: it was revoked, or expired before it started.
        DecodeError: this process cannot, or may not, read the value.
        Exception: the task's own error, as `errors.rebuild` returns it.
    """
    failure = failure_of(snapshot)
    if failure is not None:
        raise failure
    return snapshot.outcome().get("r")


def children_of(message: Message, state: State | None) -> Sequence[str]:
    """Return the ids of the tasks, or of the results of workflows, that follow a message with this outcome."""
    if state == State.SUCCESS:
        links = message.links
    elif state in (State.FAILURE, State.DEAD, State.REVOKED, State.EXPIRED):
        links = message.error_links
    else:
        return []
    return [found for link in links if (found := result_id(link))]


def _revoked(snapshot: Snapshot) -> TaskRevoked:
    return TaskRevoked(f"Task {snapshot.id} was {snapshot.state.value.lower()} before it finished.")
