"""One app with one task, and a runner that makes one attempt of it without a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from streamtasks import Attempt, AttemptOutcome, Message, Middleware, StreamTasks, current_attempt
from streamtasks.exceptions import StoreUnavailable
from streamtasks.protocol.json import loads
from streamtasks.protocol.state import Snapshot
from streamtasks.stores.types import Claimed, Outcome
from streamtasks.tasks.task import Task
from streamtasks_workers.executor.prepared import Prepared
from streamtasks_workers.executor.runner import Runner


class Told(Middleware):
    """Keeps the outcomes it is called with."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[str, AttemptOutcome]] = []
        self.retries: list[int] = []

    def after_outcome(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        self.outcomes.append((attempt.id, outcome))
        self.retries.append(attempt.retries)


class Hooked(Task[Any, Any]):
    """A task whose hooks keep their arguments."""

    log: list[Any]
    breaks: str = ""

    def before_start(self, attempt: Attempt) -> None:
        self.log.append("before")
        if self.breaks == "before":
            raise OSError("not ready")

    def after(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        assert current_attempt() is attempt
        self.log.append(outcome)
        if self.breaks == "after":
            raise SystemExit(1)


class Case:
    """One app with one task, and a runner for it."""

    def __init__(
        self, kind: str, function: Callable[..., Any], settings: dict[str, Any] | None = None, **options: Any
    ) -> None:
        self.told = Told()
        self.app = StreamTasks(middleware=[self.told], **settings or {})
        self.hooked: Hooked | None = None
        has_hooks = options.get("has_hooks")

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        register: Any = self.app.task(name="task", **options)
        made = register(function if kind == "plain" else coroutine)
        if has_hooks:
            self.hooked = Hooked(self.app.pipeline, made.function, "task", made.options)
            self.hooked.log = []
            self.app.tasks["task"] = self.hooked
        self.records: dict[str, Snapshot] = {}
        self.away = False
        self.runner = Runner(self.app, "w", self.read)

    def read(self, ids: Any) -> list[Snapshot | None]:
        if self.away:
            raise StoreUnavailable("away")
        return [self.records.get(task_id) for task_id in ids]

    def prepare(self, message: dict[str, Any] | None = None, **claim: Any) -> Prepared | Outcome:
        values: dict[str, Any] = {"id": "id-1", "task": "task", **(message or {})}
        body = b"1000 " + Message(**values).encode(1 << 20)
        claimed = Claimed("id-1", "w#1", "0:default", "1-0", 1, 0, 0, body)._replace(**claim)
        prepared = self.runner.prepare(claimed, time.monotonic_ns(), lambda data: None)
        return prepared.outcome or prepared

    def run(self, message: dict[str, Any] | None = None, **claim: Any) -> Outcome:
        prepared = self.prepare(message, **claim)
        if isinstance(prepared, Outcome):
            return prepared
        if not prepared.is_async:
            return self.runner.run(prepared)
        with asyncio.Runner() as loop:
            return loop.run(self.runner.arun(prepared))


def raising(error: BaseException) -> Callable[..., None]:
    def task() -> None:
        raise error

    return task


def error_of(outcome: Outcome) -> dict[str, str]:
    found: dict[str, str] = loads(outcome.result)["e"]
    return found
