"""JSON Schemas of what the API returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["SCHEMAS", "named", "page_of"]

_TEXT: Final = {"type": "string"}
_INTEGER: Final = {"type": "integer"}
_MS: Final = {"type": "integer", "description": "ms since the epoch by the store's clock; 0: unknown or never"}
_SPAN: Final = {"type": "integer", "description": "ms"}
_FLAG: Final = {"type": "boolean"}
_ANY: Final[dict[str, Any]] = {"description": "any JSON value"}
_MAYBE_TEXT: Final = {"type": ["string", "null"]}
_MAYBE_LIST: Final = {"type": ["array", "null"], "description": "null: hidden, or unreadable"}
_MAYBE_OBJECT: Final = {"type": ["object", "null"], "description": "null: hidden, or unreadable"}


def _object(about: str, /, **members: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "description": about,
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def _list(of: Any) -> dict[str, Any]:
    return {"type": "array", "items": of}


def named(name: str) -> dict[str, Any]:
    """Return a reference to a schema of `SCHEMAS`."""
    assert name in SCHEMAS, name
    return {"$ref": f"#/components/schemas/{name}"}


def _to(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def page_of(name: str) -> dict[str, Any]:
    """Return the schema of a page of a list."""
    return _object(
        "A page of a list.",
        items=_list(named(name)),
        cursor={"type": ["string", "null"], "description": "of the next page; null: there is none"},
    )


_TASK: Final[dict[str, Any]] = {
    "id": _TEXT,
    "state": _TEXT,
    "task": {"type": ["string", "null"], "description": "name of the task; null: its message cannot be read"},
    "queue": _MAYBE_TEXT,
    "priority": {"type": ["integer", "null"]},
    "args": _MAYBE_LIST,
    "kwargs": _MAYBE_OBJECT,
    "is_hidden": {"type": "boolean", "description": "whether the role may not see values of tasks: they are null"},
    "enqueued_ms": _MS,
    "due_ms": _MS,
    "started_ms": _MS,
    "finished_ms": _MS,
    "attempts": _INTEGER,
    "worker": {"type": "string", "description": "the child that has it, or had it last; empty: none"},
    "error": _or_null(_to("Error")),
}

SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "Problem": _object(
        "An error (RFC 9457).", type={"type": "string", "format": "uri"}, title=_TEXT, status=_INTEGER, detail=_TEXT
    ),
    "Error": _object("An error of a task.", type=_TEXT, message=_MAYBE_TEXT, traceback=_MAYBE_TEXT),
    "Pause": _object(
        "A pause; without queue and task: of everything.",
        queue=_MAYBE_TEXT,
        task=_MAYBE_TEXT,
        since_ms=_MS,
        actor=_TEXT,
        reason=_TEXT,
        is_whole={"type": "boolean", "description": "false: an interrupted call has paused only some shards"},
    ),
    "Queue": _object(
        "A queue.",
        queue=_TEXT,
        ready=_INTEGER,
        claimed=_INTEGER,
        oldest_ms=_SPAN,
        workers=_INTEGER,
        paused=_or_null(_to("Pause")),
        delayed=_INTEGER,
        limited=_INTEGER,
    ),
    "Status": _object(
        "A store at one moment.",
        queues=_list(_to("Queue")),
        unfinished=_INTEGER,
        running=_INTEGER,
        delayed=_INTEGER,
        limited=_INTEGER,
        dead_kept=_INTEGER,
        overdue_ms=_SPAN,
        workers=_INTEGER,
        outcomes={"type": "object", "additionalProperties": _INTEGER},
        pauses=_list(_to("Pause")),
        now_ms=_MS,
    ),
    "Concern": _object(
        "Something that needs attention.",
        meaning={"type": "string", "enum": ["bad", "warn"]},
        text=_TEXT,
        queue=_TEXT,
        task_id=_TEXT,
        quote=_TEXT,
    ),
    "TaskRow": _object(
        "A task in a list; long arguments are left out.",
        **_TASK,
        is_shortened={"type": "boolean", "description": "whether arguments are null because they are long"},
    ),
    "Attempt": _object(
        "An earlier attempt; of those that are left out, how many of each kind.",
        kind=_TEXT,
        attempt={"type": ["integer", "null"]},
        worker=_TEXT,
        started_ms=_MS,
        finished_ms=_MS,
        error=_or_null(_to("Error")),
        left_out={"type": ["object", "null"], "additionalProperties": _INTEGER},
    ),
    "Task": _object(
        "A task.",
        **_TASK,
        problem={"type": "string", "description": "why its message cannot be read; empty: it can"},
        headers=_MAYBE_OBJECT,
        first_started_ms=_MS,
        waits_for=_TEXT,
        reports=_list(_to("Attempt")),
        progress=_ANY,
        result=_ANY,
    ),
    "Log": _object(
        "A line that an attempt has logged or printed.",
        at_ms=_MS,
        attempt=_INTEGER,
        level=_TEXT,
        source=_TEXT,
        text=_MAYBE_TEXT,
    ),
    "Logs": _object("Lines; some behind the first may be left out.", lines=_list(_to("Log")), left_out=_INTEGER),
    "Reason": _object("Why a task waits, or where its time went.", code=_TEXT, text=_TEXT, until_ms=_MS, stops=_FLAG),
    "Frame": _object("A call on a stack.", file=_TEXT, line=_INTEGER, function=_TEXT),
    "Stack": _object("A thread or a coroutine.", name=_TEXT, frames=_list(_to("Frame"))),
    "Stacks": _object("What a worker has answered.", stacks=_list(_to("Stack")), problem=_TEXT),
    "Running": _object("A running attempt.", id=_TEXT, task=_TEXT, started_ms=_MS, child=_TEXT),
    "Worker": _object(
        "A worker.",
        name=_TEXT,
        is_live=_FLAG,
        silent_ms=_SPAN,
        about={"type": "object", "description": "what it says of itself"},
        running=_list(_to("Running")),
    ),
    "DeadLetter": _object(
        "A dead letter.",
        key=_TEXT,
        id=_MAYBE_TEXT,
        reason=_TEXT,
        queue=_TEXT,
        died_ms=_MS,
        task=_MAYBE_TEXT,
        args=_MAYBE_LIST,
        kwargs=_MAYBE_OBJECT,
        is_hidden=_FLAG,
    ),
    "Schedule": _object(
        "A schedule.",
        name=_TEXT,
        task=_TEXT,
        args=_MAYBE_LIST,
        kwargs=_MAYBE_OBJECT,
        is_hidden=_FLAG,
        rule=_MAYBE_TEXT,
        misfire=_TEXT,
        misfire_bound_s={"type": "number"},
        next_run={"type": ["string", "null"], "format": "date-time"},
        is_paused=_FLAG,
        declared={"type": "string", "description": "the app whose code declares it; empty: made at run time"},
        fired=_INTEGER,
        missed=_INTEGER,
        last_run={"type": ["string", "null"], "format": "date-time"},
        last_task_id=_TEXT,
        error=_TEXT,
    ),
    "AuditEntry": _object(
        "A change that somebody asked for.",
        operation=_TEXT,
        target=_TEXT,
        actor=_TEXT,
        reason=_TEXT,
        at_ms=_MS,
        cursor=_TEXT,
    ),
    "Event": _object("What happened.", at_ms=_MS, kind=_TEXT, id=_TEXT, detail=_TEXT),
    "Member": _object("A member of a bulk operation.", id=_TEXT, call=_MAYBE_TEXT),
    "Bulk": _object(
        "A bulk operation.",
        id=_TEXT,
        operation=_TEXT,
        filter=_MAYBE_TEXT,
        actor=_TEXT,
        reason=_TEXT,
        state=_TEXT,
        created_ms=_MS,
        changed_ms=_MS,
        rate={"type": "number"},
        problems=_list(_TEXT),
        total=_INTEGER,
        done=_INTEGER,
        applied=_INTEGER,
        skipped=_INTEGER,
        refused=_INTEGER,
        restored=_INTEGER,
        sample=_list(_to("Member")),
    ),
    "Backends": _object("The backends.", aliases=_list(_TEXT)),
    "Done": _object("What was done.", is_changed={"type": "boolean", "description": "false: it was so before"}),
    "Count": _object("How many.", count=_INTEGER),
    "Enqueued": _object("The new task.", id=_TEXT),
    "Revoked": _object(
        "What became of a task.", outcome={"type": "string", "enum": ["unknown", "gone", "marked", "finished"]}
    ),
    "Attention": _object("What needs attention now, the worst first.", concerns=_list(_to("Concern"))),
    "Queues": _object("Queues.", items=_list(_to("Queue"))),
    "Reasons": _object("Reasons, the most important first.", items=_list(_to("Reason"))),
    "Workers": _object("Workers.", items=_list(_to("Worker"))),
    "Node": _object(
        "A task of a workflow.",
        id=_TEXT,
        task=_or_null(_to("TaskRow")),
        follows=_list(_INTEGER),
        level=_INTEGER,
    ),
    "Workflow": _object(
        "A workflow at one moment.",
        id=_TEXT,
        total=_INTEGER,
        finished=_INTEGER,
        failed=_INTEGER,
        started_ms=_MS,
        nodes=_list(_to("Node")),
        states={"type": "object", "additionalProperties": _INTEGER},
    ),
    "Limit": _object("A rate limit.", name=_TEXT, waiting=_list(_TEXT), every_us=_INTEGER, next_ms=_MS),
    "Limits": _object("Rate limits.", items=_list(_to("Limit")), total=_INTEGER, looked_at=_INTEGER),
    "Point": _object(
        "What ended in a minute or in an hour; percentiles are estimates.",
        at_ms=_MS,
        succeeded=_INTEGER,
        failed=_INTEGER,
        other=_INTEGER,
        retried=_INTEGER,
        run_ms=_SPAN,
        run_p50_s=_or_null({"type": "number"}),
        run_p95_s=_or_null({"type": "number"}),
        wait_p50_s=_or_null({"type": "number"}),
        wait_p95_s=_or_null({"type": "number"}),
    ),
    "Release": _object("Workers of a project started with another release.", at_ms=_MS, project=_TEXT, release=_TEXT),
    "Chart": _object(
        "Points, the present one last.",
        items=_list(_to("Point")),
        each_ms=_SPAN,
        releases=_list(_to("Release")),
        queues=_list(_TEXT),
        tasks=_list(_TEXT),
    ),
    "Finding": _object("What the doctor found.", check=_TEXT, level=_TEXT, message=_TEXT, remedy=_TEXT, where=_TEXT),
    "Diagnosis": _object("All that the doctor found.", items=_list(_to("Finding")), address=_TEXT),
    "Bulks": _object("The latest bulk operations.", items=_list(_to("Bulk"))),
}
