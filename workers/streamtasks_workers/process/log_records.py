"""Put the task that runs on every log record: id, name, attempt, queue and worker."""

from __future__ import annotations

import logging
from functools import wraps
from typing import Any, Final

from streamtasks.exceptions import SoftTimeLimitExceeded, TaskRevoked, TimeLimitExceeded
from streamtasks.stores.types import Claimed, Exhausted
from streamtasks.tasks.attempt import running_attempt

__all__ = ["INTERRUPTS", "TASK_FIELDS", "add_task_fields", "fields_of"]

TASK_FIELDS: Final = ("task_id", "task_name", "task_attempt", "task_queue", "task_worker")
"""Attributes of every record of a worker; empty texts outside of tasks."""

INTERRUPTS: Final = (SoftTimeLimitExceeded, TimeLimitExceeded, TaskRevoked)
"""What may be raised anywhere in the code that a task calls, and is not an error of that code."""

_MARK: Final = "_adds_task_fields"


def fields_of(held: Claimed | Exhausted, worker: str = "") -> dict[str, Any]:
    """Return the fields of a task for ``extra``, where another process than its own logs; its name is not known there.

    Args:
        held: the message.
        worker: the child that ran it; empty: it is not known.
    """
    queue = held.stream.partition(":")[2]
    return {"task_id": held.id, "task_attempt": held.attempt, "task_queue": queue, "task_worker": worker}


def add_task_fields() -> None:
    """Give every record that is made in this process, and in those that it forks, the fields of the task that runs.

    `logging.setLogRecordFactory` would do so before ``extra`` is added, and a project's own ``extra={"task_id": ...}``
    would be an error then. Added after it, the project's value stays.
    """
    make = logging.Logger.makeRecord
    if hasattr(make, _MARK):
        return

    @wraps(make)
    def make_with_fields(self: logging.Logger, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(self, *args, **kwargs)
        fields, attempt = record.__dict__, running_attempt()
        if attempt is None:
            for name in TASK_FIELDS:
                fields.setdefault(name, "")
            return record
        message = attempt.message
        values = (message.id, message.task, attempt.number, message.queue, attempt.worker)
        for name, value in zip(TASK_FIELDS, values, strict=True):
            fields.setdefault(name, value)
        return record

    setattr(make_with_fields, _MARK, True)
    logging.Logger.makeRecord = make_with_fields  # type: ignore[method-assign]
