"""Tasks and dead letters as the pages show them: what a role may not see is left out here."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from streamtasks.operations.inspect import TaskView, message_of
from streamtasks.protocol.state import DeadLetter

from .access import SEE_ARGUMENTS
from .formats import HIDDEN, call_text, moment, span, value_text
from .redaction import redacted

__all__ = ["MEANINGS", "error_row", "letter_row", "said_by", "task_row", "task_values"]

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


def task_values(view: TaskView, roles: Set[str]) -> dict[str, Any]:
    """Return everything that the page of one task shows of it."""
    snapshot, message = view.snapshot, view.message
    name = "" if message is None else message.task
    may_see = SEE_ARGUMENTS in roles
    result = ""
    if snapshot.is_finished and view.error is None:
        result = value_text(redacted("result", name, view.result)) if may_see else HIDDEN
    began_ms = snapshot.first_started_ms or snapshot.started_ms
    steps = [("Enqueued", snapshot.enqueued_ms, "")]
    if snapshot.due_ms:
        steps.append(("Due", snapshot.due_ms, ""))
    if began_ms:
        steps.append(("Started", began_ms, f"waited {span(began_ms - snapshot.enqueued_ms)}"))
    if snapshot.started_ms > began_ms:
        steps.append(("Started again", snapshot.started_ms, f"attempt {snapshot.attempts}"))
    if snapshot.finished_ms:
        ran = f"ran {span(snapshot.finished_ms - snapshot.started_ms)}" if snapshot.started_ms else "never started"
        steps.append((view.state.capitalize(), snapshot.finished_ms, ran))
    return {
        "task": task_row(view, roles, most=20_000),
        "priority": "" if message is None else message.priority,
        "worker": snapshot.worker,
        "result": result,
        "error": error_row(view.error, name, roles) if view.error else None,
        "steps": [{"name": step, "at": moment(at_ms), "about": about} for step, at_ms, about in steps],
        "attempts": [_attempt(one, name, roles) for one in snapshot.reports],
        "is_finished": snapshot.is_finished,
    }


def _attempt(report: dict[str, Any], name: str, roles: Set[str]) -> dict[str, Any]:
    error = report.get("error")
    if "of" in report:
        left_out = ", ".join(f"{count} {kind}" for kind, count in report["of"].items())
        return {"kind": "left out", "about": left_out}
    return {
        "kind": str(report.get("kind", "")),
        "number": report.get("attempt", ""),
        "worker": str(report.get("worker", "")),
        "at": moment(int(report.get("started") or 0)),
        "about": error_row(error, name, roles)["line"] if isinstance(error, dict) else "",
        "traceback": error_row(error, name, roles)["traceback"] if isinstance(error, dict) else "",
    }


def letter_row(letter: DeadLetter, roles: Set[str]) -> dict[str, Any]:
    """Return a dead letter as a row of a list."""
    message = message_of(letter)
    return {
        "key": letter.cursor,
        "id": letter.id,
        "reason": letter.reason,
        "queue": letter.stream.partition(":")[2],
        "at": moment(letter.died_ms),
        "task": "unreadable" if message is None else message.task,
        "call": "" if message is None else _call(message, roles, _SHORT),
    }
