"""Put the task that runs on every log record: id, name, attempt, queue and worker."""

from __future__ import annotations

import logging
from functools import wraps
from typing import Any, Final

from streamtasks.tasks.attempt import running_attempt

__all__ = ["TASK_FIELDS", "add_task_fields"]

TASK_FIELDS: Final = ("task_id", "task_name", "task_attempt", "task_queue", "task_worker")
"""Attributes of every record of a worker; empty texts outside of tasks."""

_MARK: Final = "_adds_task_fields"


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
