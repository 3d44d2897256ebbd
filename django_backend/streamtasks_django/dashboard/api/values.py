"""What the API returns of tasks, queues and the like; what a role may not see is left out here."""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import datetime
from typing import Any, Final

from streamtasks.operations.bulk import Bulk
from streamtasks.operations.inspect import QueueView, Status, TaskView, WorkerView, message_of, task_of
from streamtasks.protocol.log_lines import TaskLogs
from streamtasks.protocol.message import Message
from streamtasks.protocol.state import DeadLetter
from streamtasks.protocol.wire import Wire
from streamtasks.results.snapshot_view import info_of
from streamtasks.schedules.schedules import Schedule
from streamtasks.stores.steering_types import Pause

from ..access import SEE_ARGUMENTS
from ..redaction import is_redacting, redacted
from .plain import encode

__all__ = [
    "bulk_value",
    "letter_value",
    "logs_value",
    "pause_value",
    "queue_value",
    "schedule_value",
    "status_value",
    "task_row",
    "task_value",
    "worker_value",
]

_LONG: Final = 2_000
"""Arguments that take more bytes of JSON are left out of lists."""

_MOST_SAID: Final = 300
"""So many characters of an error stand in lists."""


def pause_value(pause: Pause) -> dict[str, Any]:
    """Return a pause."""
    return {**pause._asdict(), "queue": pause.queue or None, "task": pause.task or None}


def queue_value(view: QueueView) -> dict[str, Any]:
    """Return a queue."""
    return {**view._asdict(), "paused": None if view.paused is None else pause_value(view.paused)}


def status_value(found: Status) -> dict[str, Any]:
    """Return the status of a store."""
    queues, pauses = map(queue_value, found.queues), map(pause_value, found.pauses)
    return {**found._asdict(), "queues": list(queues), "pauses": list(pauses)}


def _values(message: Message | None, roles: Set[str]) -> dict[str, Any]:
    """Return name and arguments of a call."""
    name, is_hidden = "" if message is None else message.task, SEE_ARGUMENTS not in roles
    if message is None or is_hidden:
        return {"task": name or None, "args": None, "kwargs": None, "is_hidden": is_hidden}
    args, kwargs = redacted("args", name, list(message.args)), redacted("kwargs", name, dict(message.kwargs))
    return {"task": name, "args": _list(args), "kwargs": _dict(kwargs), "is_hidden": False}


def _list(value: Any) -> Any:
    """Return what a redacting function has made of a list, as a list."""
    return list(value) if isinstance(value, list | tuple) else None if value is None else [value]


def _dict(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else None if value is None else {"": value}


def _error(error: Any, task: str, roles: Set[str], most: int = 0) -> dict[str, Any] | None:
    """Return an error; ``most``: of its message so many characters, without the traceback; 0: all of it."""
    if not isinstance(error, dict):
        return None
    shown: dict[str, Any] = {"type": str(error.get("type") or ""), "message": None, "traceback": None}
    if SEE_ARGUMENTS in roles:
        shown["message"] = str(redacted("error", task, error.get("message") or ""))
        if not most:
            shown["traceback"] = str(redacted("traceback", task, error.get("traceback") or ""))
        elif len(shown["message"]) > most:
            shown["message"] = f"{shown['message'][:most]}…"
    return shown


def _task(view: TaskView, roles: Set[str], most: int = 0) -> dict[str, Any]:
    message, snapshot = view.message, view.snapshot
    names = ("enqueued_ms", "due_ms", "started_ms", "finished_ms", "attempts", "worker")
    return {
        "id": view.id,
        "state": view.state,
        **_values(message, roles),
        "queue": None if message is None else message.queue,
        "priority": None if message is None else message.priority,
        **{name: getattr(snapshot, name) for name in names},
        "error": _error(view.error, "" if message is None else message.task, roles, most),
    }


def task_row(view: TaskView, roles: Set[str]) -> dict[str, Any]:
    """Return a task as an item of a list, in a bounded number of bytes."""
    shown = _task(view, roles, _MOST_SAID)
    is_long = len(encode([shown["args"], shown["kwargs"]], as_text=True)) > _LONG
    return {**shown, **({"args": None, "kwargs": None} if is_long else {}), "is_shortened": is_long}


def task_value(view: TaskView, roles: Set[str]) -> dict[str, Any]:
    """Return all that is known of a task."""
    message, snapshot, may_see = view.message, view.snapshot, SEE_ARGUMENTS in roles
    name = "" if message is None else message.task
    headers = _dict(redacted("headers", name, dict(message.headers))) if message is not None and may_see else None
    progress, result = info_of(snapshot), view.result
    return {
        **_task(view, roles),
        "problem": view.problem,
        "headers": headers,
        "first_started_ms": snapshot.first_started_ms,
        "waits_for": snapshot.waits_for,
        "reports": [_report(one, name, roles) for one in snapshot.reports],
        "progress": redacted("progress", name, progress) if may_see and progress is not None else None,
        "result": redacted("result", name, result) if may_see and result is not None else None,
    }


def _report(report: dict[str, Any], task: str, roles: Set[str]) -> dict[str, Any]:
    attempt, left_out = report.get("attempt"), report.get("of")
    return {
        "kind": str(report.get("kind") or ""),
        "attempt": attempt if isinstance(attempt, int) else None,
        "worker": str(report.get("worker") or ""),
        "started_ms": int(report.get("started") or 0),
        "finished_ms": int(report.get("finished") or 0),
        "error": _error(report.get("error"), task, roles),
        "left_out": left_out if isinstance(left_out, dict) else None,
    }


def logs_value(found: TaskLogs, task: str, roles: Set[str]) -> dict[str, Any]:
    """Return what attempts have logged; who may not see values sees that there are lines, not their texts."""
    may_see = SEE_ARGUMENTS in roles
    lines = [
        {**one._asdict(), "text": str(redacted("logs", task, one.text)) if may_see else None} for one in found.lines
    ]
    return {"lines": lines, "left_out": found.left_out}


def worker_value(view: WorkerView, wire: Wire) -> dict[str, Any]:
    """Return a worker, and what it runs."""
    about = {name: value for name, value in view.info.about.items() if name != "tasks"}  # digests of names
    running = [
        {"id": one.id, "task": task_of(one, wire), "started_ms": one.started_ms, "child": one.worker}
        for one in view.running
    ]
    info = view.info
    return {"name": info.name, "is_live": info.is_live, "silent_ms": info.silent_ms, "about": about, "running": running}


def letter_value(letter: DeadLetter, roles: Set[str]) -> dict[str, Any]:
    """Return a dead letter."""
    return {
        "key": letter.cursor,
        "id": letter.id or None,
        "reason": letter.reason,
        "queue": letter.stream.partition(":")[2],
        "died_ms": letter.died_ms,
        **_values(message_of(letter), roles),
    }


def schedule_value(one: Schedule, roles: Set[str]) -> dict[str, Any]:
    """Return a schedule."""
    is_hidden = SEE_ARGUMENTS not in roles
    return {
        "name": one.name,
        "task": one.task,
        "args": None if is_hidden else _list(redacted("args", one.task, list(one.args))),
        "kwargs": None if is_hidden else _dict(redacted("kwargs", one.task, dict(one.kwargs))),
        "is_hidden": is_hidden,
        "rule": None if one.rule is None else repr(one.rule),
        "misfire": one.misfire,
        "misfire_bound_s": one.misfire_bound.total_seconds(),
        "next_run": _moment(one.next_run),
        "is_paused": one.paused,
        "declared": one.declared,
        "fired": one.fired,
        "missed": one.missed,
        "last_run": _moment(one.last_run),
        "last_task_id": one.last_task_id,
        "error": one.error,
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def bulk_value(bulk: Bulk, roles: Set[str]) -> dict[str, Any]:
    """Return a bulk operation. Its calls are texts, which a redacting function cannot read: they are hidden then."""
    may_see = SEE_ARGUMENTS in roles and not is_redacting()
    names = ("id", "operation", "actor", "reason", "created_ms", "changed_ms", "rate")
    return {
        **{name: getattr(bulk, name) for name in names},
        "filter": bulk.filter if may_see else None,
        "state": bulk.state.value,
        "problems": list(bulk.problems),
        **bulk.counts._asdict(),
        "sample": [{"id": task_id, "call": call if may_see else None} for task_id, call in bulk.sample],
    }
