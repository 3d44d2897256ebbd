"""Build Django's results from the store's snapshots of messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from streamtasks import Attempt, Message, State
from streamtasks.exceptions import DecodeError, TaskFailed, WorkerCrashed, WorkerLost
from streamtasks.protocol.errors import describe
from streamtasks.protocol.reports import OMITTED, count_reports
from streamtasks.protocol.state import STATUS as WORDS
from streamtasks.protocol.state import Snapshot
from streamtasks.results.snapshot_view import error_of, outcome_of

from ..conf import task_settings
from ..framework import Task, TaskError, TaskResultStatus
from ..results.metadata import HEADER
from ..results.task_result import StreamTaskResult
from .registry import known_task, stand_in
from .stream_task import StreamTask

__all__ = [
    "RUN_AFTER",
    "UNREADABLE",
    "due_ms",
    "from_attempt",
    "from_snapshot",
    "moment",
    "restored",
    "task_error",
    "worker_ids",
]

RUN_AFTER: Final = "django.run_after"
"""The header with a task's ``run_after``, ISO 8601: the store forgets the time once it has passed."""

UNREADABLE: Final = "streamtasks.unreadable"
"""The task path shown for a message whose bytes cannot be read."""

UNKNOWN_WORKER: Final = "unknown"
"""Stands in ``worker_ids`` for an attempt whose report was not kept."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)

STATUS: Final = {state: TaskResultStatus(word) for state, word in WORDS.items()}
"""Django's status for each state of the engine."""

_NEVER_RAN: Final = "UNKNOWN"
"""The kind of a report without an attempt: the worker did not know the task."""


def moment(ms: int) -> datetime | None:
    """Return a store's time as a datetime: aware, or naive local time without USE_TZ; None for 0."""
    if not ms:
        return None
    aware = _EPOCH + ms * _MS
    return aware if settings.USE_TZ else timezone.make_naive(aware)


def due_ms(when: datetime) -> int:
    """Return the first whole ms since the epoch that is not before ``when`` (naive: local time)."""
    if when.tzinfo is None:
        when = when.astimezone(UTC)
    return max(0, -((_EPOCH - when) // _MS))


def restored(
    task: Task[..., Any] | None,
    path: str,
    *,
    priority: int,
    queue_name: str,
    run_after: datetime | None,
    backend: str,
    metadata: dict[str, Any] | None = None,
) -> Task[..., Any]:
    """Return a task as it was when it was enqueued.

    Nothing is validated: QUEUES may have changed since, and a result must stay readable.
    """
    if task is None:
        cls: type[Task[..., Any]] = StreamTask
        values: dict[str, Any] = StreamTask.bare(stand_in(path), path.rpartition(".")[2])
    elif (
        task.priority == priority
        and task.queue_name == queue_name
        and task.run_after == run_after
        and task.backend == backend
        and getattr(task, "metadata", None) == (metadata or {})
    ):
        return task
    else:
        cls = type(task)
        values = {field.name: getattr(task, field.name) for field in fields(task)}
    values.update(priority=priority, queue_name=queue_name, run_after=run_after, backend=backend)
    if "metadata" in values:
        values["metadata"] = metadata or {}
    copy = object.__new__(cls)
    for name, value in values.items():
        object.__setattr__(copy, name, value)
    return copy


def _of_message(message: Message, task: Task[..., Any] | None, alias: str) -> Task[..., Any]:
    text = message.headers.get(RUN_AFTER) if message.headers else None
    run_after = datetime.fromisoformat(text) if text else None
    if run_after is None and message.due_ms:  # enqueued by a schedule, without Django
        run_after = moment(message.due_ms)
    return restored(
        task,
        message.task,
        priority=message.priority,
        queue_name=message.queue,
        run_after=run_after,
        backend=alias,
        metadata=_metadata_of(message),
    )


def _metadata_of(message: Message) -> dict[str, Any]:
    found = message.headers.get(HEADER) if message.headers else None
    return found if isinstance(found, dict) else {}


def worker_ids(reports: Sequence[dict[str, Any]], attempts: int, worker: str) -> list[str]:
    """Return the worker of each attempt, in order: from the reports of earlier ones, and ``worker`` for the last."""
    if attempts == 1 and worker and not reports:
        return [worker]
    attempts -= count_reports(reports, _NEVER_RAN)
    ids: list[str] = []
    for report in reports:
        if report.get("kind") == OMITTED:
            ids += [UNKNOWN_WORKER] * sum(count for kind, count in report["of"].items() if kind != _NEVER_RAN)
        elif report.get("kind") != _NEVER_RAN:
            ids.append(str(report.get("worker") or UNKNOWN_WORKER))
    del ids[attempts:]
    if worker and len(ids) < attempts:
        ids += [UNKNOWN_WORKER] * (attempts - 1 - len(ids))
        ids.append(worker)
    return ids + [UNKNOWN_WORKER] * (attempts - len(ids))


def task_error(error: dict[str, Any]) -> TaskError:
    """Return a recorded error (see `streamtasks.protocol.errors.describe`) as Django's class."""
    path = error.get("type") or f"{TaskFailed.__module__}.{TaskFailed.__qualname__}"
    text = error.get("traceback") or f"{path}: {error.get('message', '')}\n"
    return TaskError(exception_class_path=path, traceback=text)


def errors_of(reports: Iterable[dict[str, Any]]) -> list[TaskError]:
    """Return the errors of failed attempts from their reports, as far as these were kept."""
    found = []
    for report in reports:
        if report.get("kind") == OMITTED:
            continue
        error = report.get("error")
        if not isinstance(error, dict):
            cls = WorkerLost if report.get("kind") == "LOST" else WorkerCrashed
            error = describe(cls(f"The worker {report.get('worker', '')} ended while it ran this task."))
        found.append(task_error(error))
    return found


def _not_started(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot of a running message as that of a queued one.

    The store has recorded the start: leases, ``get_active_tasks()`` and ``revoke()`` depend on it.
    """
    last = snapshot.reports[-1] if snapshot.reports else {}
    return replace(
        snapshot,
        state=State.RETRY if last else State.QUEUED,
        attempts=max(0, snapshot.attempts - 1),
        first_started_ms=snapshot.first_started_ms if last else 0,
        started_ms=last.get("started") or 0,
        worker=str(last.get("worker") or ""),
    )


def from_snapshot(snapshot: Snapshot, alias: str) -> StreamTaskResult[Any]:
    """Return the result of a message. Its task may be unknown here, and its bytes may be broken."""
    if snapshot.state == State.STARTED and task_settings.hides_started():
        snapshot = _not_started(snapshot)
    try:
        message = snapshot.message()
    except DecodeError:
        message = Message(id=snapshot.id, task=UNREADABLE)
    reports = snapshot.reports
    # The claim of a first attempt and its start in the child are two clock readings of one moment: use the earlier.
    starts = [report["started"] for report in reports if report.get("started")]
    first = snapshot.first_started_ms or (starts[0] if starts else 0)
    last = snapshot.started_ms or (starts[-1] if starts else first)
    ids = worker_ids(reports, snapshot.attempts, snapshot.worker)
    result = StreamTaskResult(
        task=_of_message(message, known_task(message.task), alias),
        id=snapshot.id,
        status=STATUS[snapshot.state],
        enqueued_at=moment(snapshot.enqueued_ms),
        started_at=moment(first),
        finished_at=moment(snapshot.finished_ms),
        last_attempted_at=moment(last if len(ids) > 1 else first),
        args=message.args,
        kwargs=message.kwargs,
        backend=alias,
        errors=errors_of(reports),
        worker_ids=ids,
        raw_metadata=_metadata_of(message),
    )
    result.set(known=snapshot)
    error = error_of(snapshot)
    if error is not None:
        result.errors.append(task_error(error))
    elif snapshot.state == State.SUCCESS:
        body = outcome_of(snapshot)
        result.set(_return_value=body.get("r"))
        if "e" in body:  # this process cannot read it
            result.errors.append(task_error(body["e"]))
    return result


def from_attempt(
    attempt: Attempt, task: Task[..., Any], alias: str, reports: Sequence[dict[str, Any]]
) -> StreamTaskResult[Any]:
    """Return the result of an attempt at its start, for the task and the receivers of signals."""
    message = attempt.message
    ids = worker_ids(reports, attempt.number, attempt.worker)
    return StreamTaskResult(
        task=_of_message(message, task, alias),
        id=message.id,
        status=TaskResultStatus.RUNNING,
        enqueued_at=moment(attempt.enqueued_ms),
        started_at=moment(attempt.first_started_ms),
        finished_at=None,
        last_attempted_at=moment(attempt.started_ms if len(ids) > 1 else attempt.first_started_ms),
        args=message.args,
        kwargs=message.kwargs,
        backend=alias,
        errors=errors_of(reports),
        worker_ids=ids,
        raw_metadata=_metadata_of(message),
    )
