"""One attempt, run by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from streamtasks import (
    Message,
    StreamTasks,
)
from streamtasks.protocol.json import loads
from streamtasks.stores.types import Claimed, Outcome
from streamtasks_workers.executor.prepared import Prepared
from streamtasks_workers.executor.runner import Runner

Run = Callable[..., Outcome]
SUCCESS_MS, FAILURE_MS = 86_400_000, 7 * 86_400_000


def claimed(message: Message | bytes, **changes: Any) -> Claimed:
    body = message if isinstance(message, bytes) else b"1000 " + message.encode(1 << 20)
    return Claimed("id-1", "w#1", "0:default", "1-0", 1, 0, 0, body)._replace(**changes)


def message(**changes: Any) -> Message:
    values: dict[str, Any] = {"id": "id-1", "task": "task", **changes}
    return Message(**values)


def started(app: StreamTasks, what: Claimed) -> Prepared | Outcome:
    prepared = Runner(app, "w").prepare(what, time.monotonic_ns(), lambda data: None)
    return prepared.outcome or prepared


def prepare(runner: Runner, what: Claimed) -> Prepared:
    prepared = runner.prepare(what, time.monotonic_ns(), lambda data: None)
    assert prepared.outcome is None
    return prepared


def raising(error: BaseException) -> Callable[[], None]:
    def task() -> None:
        raise error

    return task


def error_of(outcome: Outcome) -> dict[str, str]:
    found: dict[str, str] = loads(outcome.result)["e"]
    return found
