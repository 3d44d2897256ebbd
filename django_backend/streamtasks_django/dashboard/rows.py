"""Tasks and dead letters as the pages show them: what a role may not see is left out here."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from streamtasks.operations.inspect import TaskView, message_of
from streamtasks.protocol.state import DeadLetter

from .access import SEE_ARGUMENTS
from .formats import HIDDEN, call_text, moment
from .redaction import redacted

__all__ = ["MEANINGS", "error_row", "letter_row", "said_by", "task_row"]

MEANINGS = {
    "SUCCESS": "good",
    "FAILURE": "bad",
    "DEAD": "bad",
    "EXPIRED": "warn",
    "REVOKED": "warn",
    "RETRY": "warn",
    "STARTED": "busy",
    "PROGRESS": "busy",
}
"""The colour of a state; others are neutral."""

_SHORT = 120


def _call(message: Any, roles: Set[str], most: int) -> str:
    if SEE_ARGUMENTS not in roles:
        return HIDDEN
    args = redacted("args", message.task, list(message.args))
    return call_text(args, redacted("kwargs", message.task, dict(message.kwargs)), most)


def task_row(view: TaskView, roles: Set[str], most: int = _SHORT) -> dict[str, Any]:
    """Return a task as a row of a list."""
    snapshot, message = view.snapshot, view.message
    at_ms = snapshot.finished_ms or snapshot.started_ms or snapshot.due_ms or snapshot.enqueued_ms
    return {
        "id": view.id,
        "state": view.state,
        "meaning": MEANINGS.get(snapshot.state.value, "quiet"),
        "task": "unreadable" if message is None else message.task,
        "queue": "" if message is None else message.queue,
        "call": view.problem[:most] if message is None else _call(message, roles, most),
        "at": moment(at_ms),
        "attempts": snapshot.attempts,
        "error": said_by(view, roles) if view.error else "",
    }


def said_by(view: TaskView, roles: Set[str]) -> str:
    """Return the error of a failed task in one line; its class alone for who may not see values."""
    name = "" if view.message is None else view.message.task
    return error_row(view.error or {}, name, roles)["line"][:300]


def error_row(error: dict[str, Any], task: str, roles: Set[str]) -> dict[str, str]:
    """Return the line and the traceback of an error (see `errors.describe`)."""
    kind = str(error.get("type", "")).removeprefix("builtins.")
    if SEE_ARGUMENTS not in roles:
        return {"line": kind or "no error was kept", "traceback": ""}
    message = str(redacted("error", task, error.get("message", "")))
    line = f"{kind}: {message}" if message else kind
    traceback = str(redacted("traceback", task, error.get("traceback") or ""))
    return {"line": line or "no error was kept", "traceback": traceback}


def letter_row(letter: DeadLetter, roles: Set[str], most: int = _SHORT) -> dict[str, Any]:
    """Return a dead letter as a row of a list."""
    message = message_of(letter)
    return {
        "key": letter.cursor,
        "id": letter.id,
        "reason": letter.reason,
        "queue": letter.stream.partition(":")[2],
        "at": moment(letter.died_ms),
        "task": "unreadable" if message is None else message.task,
        "call": "" if message is None else _call(message, roles, most),
    }
