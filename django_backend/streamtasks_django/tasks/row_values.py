"""The values of the row of a finished task, from a record or from the attempt that ends."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from streamtasks import Message, State
from streamtasks.exceptions import DecodeError
from streamtasks.protocol.callback_message import CALLBACK
from streamtasks.protocol.errors import describe
from streamtasks.protocol.links import GATHER, START
from streamtasks.protocol.state import STATUS, Snapshot
from streamtasks.results.snapshot_view import error_of, outcome_of
from streamtasks.tasks.attempt import running_attempt

from ..results.rows import split_extra
from .call_options import COLUMNS
from .snapshot_results import UNREADABLE, moment

__all__ = ["COLUMNS_OF_ROWS", "ends_as", "is_engines", "row_of_attempt", "row_of_snapshot", "without_unstorable"]

COLUMNS_OF_ROWS: Final = frozenset(
    {
        "args",
        "created_at",
        "finished_at",
        "id",
        "kwargs",
        "meta",
        "name",
        "priority",
        "queue",
        "result",
        "started_at",
        "state",
        "status",
        "traceback",
        "worker",
    }
)
"""The columns that every model of results has."""

_state: ContextVar[State | None] = ContextVar("state of the row", default=None)

_ENGINE: Final = frozenset({CALLBACK, GATHER, START})
_MOST_NAME: Final = 255
_MOST_QUEUE: Final = 128


def row_of_snapshot(model: Any, snapshot: Snapshot, *, extra: bool = True) -> dict[str, Any]:
    """Return the values of the row of a finished task. Its bytes may be broken: then its arguments are empty.

    Args:
        model: a subclass of `backends.database.models.TaskResult`.
        snapshot: its record.
        extra: whether values of ``apply_async()`` that are no options become columns.
    """
    try:
        message = snapshot.message()
    except DecodeError:
        message = Message(id=snapshot.id, task=UNREADABLE)
    error, value = error_of(snapshot), None
    if error is None and snapshot.state == State.SUCCESS:
        outcome = outcome_of(snapshot)
        value, error = outcome.get("r"), outcome.get("e")
    row = _row(message, snapshot.state, value, error, snapshot.attempts)
    row["worker"] = snapshot.worker[:_MOST_NAME]
    row["created_at"] = moment(snapshot.enqueued_ms)
    row["started_at"] = moment(snapshot.first_started_ms or snapshot.started_ms)
    row["finished_at"] = moment(snapshot.finished_ms)
    if extra:
        columns = message.headers.get(COLUMNS)
        _add(model, row, columns if isinstance(columns, dict) else {})
    return row


@contextmanager
def ends_as(state: State) -> Generator[None]:
    """Return a context in which `row_of_attempt` gives rows this state, of which Django's status is only a part."""
    token = _state.set(state)
    try:
        yield
    finally:
        _state.reset(token)


def is_engines(row: Mapping[str, Any]) -> bool:
    """Return whether a row is that of a message of the engine's own, which no table of results has."""
    return row["name"] in _ENGINE


def without_unstorable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without what a database may refuse: extra columns, and NUL in texts."""
    found = {name: value for name, value in row.items() if name in COLUMNS_OF_ROWS}
    for name in ("args", "kwargs", "result", "meta"):
        if name in found:
            found[name] = _plain(found[name])
    return {name: value.replace("\0", "\ufffd") if isinstance(value, str) else value for name, value in found.items()}


def _plain(value: Any) -> Any:
    """Return a JSON value in which nothing is special."""
    if isinstance(value, dict):
        return {_plain(str(name)): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode(errors="replace").decode()
    if value is None or isinstance(value, bool) or (isinstance(value, (int, float)) and value - value == 0):
        return value
    return _plain(repr(value))


def row_of_attempt(model: Any, task_id: str, result: Any, status: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the row of the attempt that ends here with this outcome; see ``store_result()``.

    Without such an attempt (somebody else called it) there is no more than the id, the outcome and the extra values.
    """
    failed = status == STATUS[State.FAILURE]
    state = _state.get()
    if state is None or STATUS[state] != status:
        state = State.FAILURE if failed else State.SUCCESS
    attempt = running_attempt()
    if attempt is not None and attempt.id != task_id:
        attempt = None
    message = attempt.message if attempt is not None else Message(id=task_id, task="")
    error = describe(result) if isinstance(result, BaseException) else None
    row = _row(message, state, None if failed else result, error, 0 if attempt is None else attempt.number)
    row["status"] = status
    row["finished_at"] = moment(time.time_ns() // 1_000_000)
    if attempt is not None:
        row["worker"] = attempt.worker[:_MOST_NAME]
        row["created_at"] = moment(attempt.enqueued_ms)
        row["started_at"] = moment(attempt.first_started_ms)
    else:
        row = {name: row[name] for name in ("id", "status", "state", "result", "traceback", "meta", "finished_at")}
    _add(model, row, extra)
    return row


def _row(message: Message, state: State, value: Any, error: dict[str, Any] | None, attempts: int) -> dict[str, Any]:
    meta: dict[str, Any] = {"attempts": attempts}
    if error is not None:
        meta["error"] = {"type": error.get("type", ""), "message": error.get("message", "")}
    return {
        "id": message.id,
        "status": STATUS[state],
        "state": state.value,
        "name": message.task[:_MOST_NAME],
        "queue": message.queue[:_MOST_QUEUE],
        "priority": message.priority,
        "args": message.args,
        "kwargs": message.kwargs,
        "result": value,
        "traceback": (error or {}).get("traceback") or "",
        "meta": meta,
    }


def _add(model: Any, row: dict[str, Any], extra: Mapping[str, Any]) -> None:
    columns, others = split_extra(model, extra)
    row.update(columns)
    if others:
        row["meta"] = {**row["meta"], "extra": others}
