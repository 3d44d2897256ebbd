"""The arguments and the result of a task, or the call of a dead letter, as a file, whatever their size."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse

from streamtasks.exceptions import TaskNotFound
from streamtasks.operations import inspect
from streamtasks.protocol.json import dumps
from streamtasks.protocol.message import Message

from ..access import SEE_ARGUMENTS, Visit, view
from ..redaction import redacted
from .letter import letter_of

__all__ = ["letter_raw", "raw"]


@view(SEE_ARGUMENTS, "GET", "HEAD")
def raw(visit: Visit, task_id: str) -> HttpResponse:
    """Return the call and the result of a task as JSON, to be saved; what JSON does not know as it stands in code."""
    found = inspect.task(visit.backend.stores.plain, visit.backend.store_settings.wire, task_id)
    if found is None:
        raise TaskNotFound(f"No task {task_id} is known; if it ever was, its record has expired.")
    name = "" if found.message is None else found.message.task
    values: dict[str, Any] = {"id": found.id, "task": name}
    values |= _call(found.message)
    if found.snapshot.is_finished and found.error is None:
        values["result"] = redacted("result", name, found.result)
    return _file(values, "task.json")


@view(SEE_ARGUMENTS, "GET", "HEAD")
def letter_raw(visit: Visit) -> HttpResponse:
    """Return the call of a dead letter as JSON, to be saved."""
    found = letter_of(visit, visit.request.GET.get("key", ""))
    message = inspect.message_of(found)
    name = "" if message is None else message.task
    values = {"id": found.id, "task": name, "reason": found.reason, "died_ms": found.died_ms, **_call(message)}
    return _file(values, "dead_letter.json")


def _call(message: Message | None) -> dict[str, Any]:
    if message is None:
        return {}
    return {
        "args": redacted("args", message.task, list(message.args)),
        "kwargs": redacted("kwargs", message.task, dict(message.kwargs)),
    }


def _file(values: dict[str, Any], name: str) -> HttpResponse:
    response = HttpResponse(_json(values), content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{name}"'  # not by an id, which is somebody's text
    return response


def _json(values: dict[str, Any]) -> bytes:
    try:
        return dumps(values)
    except (TypeError, ValueError):  # pickled ones may be anything
        return dumps({key: value if isinstance(value, str) else repr(value) for key, value in values.items()})
