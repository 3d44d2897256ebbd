"""Tasks as classes."""

from __future__ import annotations

from typing import Any

from django.db import connection

from contract import notes
from streamtasks import Ignore
from streamtasks_django import Task


class DataMigrationTask(Task):
    """The documented kind: what ``run()`` learns, the hooks know."""

    name = "data_migration"
    max_retries = 1
    default_retry_delay = 0.05
    time_limit = 7200

    def run(self, migration_type: str, batch_size: int = 1000, **kwargs: Any) -> dict[str, Any]:
        self.migration_type = migration_type
        if migration_type == "retry":
            raise self.retry(exc=ValueError("not yet"), countdown=0.02)
        if migration_type == "ignore":
            raise Ignore
        if migration_type == "unknown":
            raise ValueError(f"Unknown migration type: {migration_type}")
        self.update_state(state="PROGRESS", meta={"current": batch_size})
        return {"batch_size": batch_size, "retries": self.request.retries, "max": self.max_retries, "more": kwargs}

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        self.migration_type = "not begun"
        notes.leave(["class", task_id, "before_start", args, kwargs])
        if kwargs.get("break_start"):
            raise KeyError("before_start")

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        notes.leave(["class", task_id, "on_success", self.migration_type, retval])
        raise RuntimeError("a hook that breaks changes nothing")

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        text = str(einfo).strip().splitlines()
        notes.leave(
            [
                "class",
                task_id,
                "on_failure",
                getattr(self, "migration_type", "unset"),
                type(exc).__name__,
                str(exc),
                text[-1:],
            ]
        )

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        notes.leave(["class", task_id, "on_retry", self.migration_type, type(exc).__name__])

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        notes.leave(["class", task_id, "after_return", getattr(self, "migration_type", "unset"), status])


data_migration_task = DataMigrationTask()


class FileProcessingTask(Task):
    """Without hooks and with ``bind``, which changes nothing: self is not passed twice."""

    name = "file_processing"
    bind = True
    max_retries = 2
    queue = "high_priority"

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def run(self, path: str, **options: Any) -> list[Any]:
        self.seen += 1
        return [path, options, self.seen]


file_processing_task = FileProcessingTask()


class Unnamed(Task):
    """Is called by the path of its instance."""

    async def run(self, word: str) -> list[str]:
        return [word, self.request.task, self.name]


unnamed = Unnamed()


class Native(Task):
    """A coroutine with plain hooks, which use the database."""

    name = "native"

    async def run(self, word: str) -> str:
        self.word = word
        return word

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        self.row = _select(1)

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        notes.leave(["class", task_id, self.row, _select(2), self.word])


native = Native()


def _select(number: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])
        return int(cursor.fetchone()[0])
