"""The arguments and the result of a task as a file, whatever their size."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse

from streamtasks.exceptions import TaskNotFound
from streamtasks.operations import inspect
from streamtasks.protocol.json import dumps

from ..access import SEE_ARGUMENTS, Visit, view
from ..redaction import redacted

__all__ = ["raw"]


@view(SEE_ARGUMENTS, "GET", "HEAD")
def raw(visit: Visit, task_id: str) -> HttpResponse:
    """Return the call and the result of a task as JSON, to be saved; what JSON does not know as it stands in code."""
    found = inspect.task(visit.backend.stores.plain, visit.backend.store_settings.wire, task_id)
    if found is None:
        raise TaskNotFound(f"No task {task_id} is known; if it ever was, its record has expired.")
    name = "" if found.message is None else found.message.task
    values: dict[str, Any] = {"id": found.id, "task": name}
    if found.message is not None:
        values["args"] = redacted("args", name, list(found.message.args))
        values["kwargs"] = redacted("kwargs", name, dict(found.message.kwargs))
    if found.snapshot.is_finished and found.error is None:
        values["result"] = redacted("result", name, found.result)
    response = HttpResponse(_json(values), content_type="application/json")
    response["Content-Disposition"] = 'attachment; filename="task.json"'  # an id is somebody's text
    return response


def _json(values: dict[str, Any]) -> bytes:
    try:
        return dumps(values)
    except (TypeError, ValueError):  # pickled ones may be anything
        return dumps({key: value if isinstance(value, str) else repr(value) for key, value in values.items()})
