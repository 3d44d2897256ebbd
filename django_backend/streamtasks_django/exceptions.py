"""Exceptions for tasks to raise and for callers to catch; `streamtasks.exceptions` has all of them."""

from __future__ import annotations

from streamtasks.exceptions import (
    AccessDenied,
    ConfigurationError,
    ControlFlow,
    Ignore,
    NotDurable,
    ParentFailed,
    PayloadTooLarge,
    RetriesExhausted,
    Retry,
    ScheduleDeclared,
    ScheduleError,
    ScheduleExists,
    ScheduleNotFound,
    SoftTimeLimitExceeded,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StreamTasksError,
    TaskFailed,
    TaskIdInUse,
    TaskLimitExceeded,
    TaskRevoked,
    TimeLimitExceeded,
    WaitInTask,
    WorkerCrashed,
    WorkerLost,
)
from streamtasks.exceptions import InvalidTask as EngineInvalidTask
from streamtasks.exceptions import UnknownOption as EngineUnknownOption

from .framework import InvalidTask as DjangoInvalidTask
from .framework import (
    InvalidTaskBackend,
    TaskException,
    TaskResultDoesNotExist,
    TaskResultMismatch,
)

__all__ = [
    "AccessDenied",
    "ConfigurationError",
    "ControlFlow",
    "Ignore",
    "InvalidTask",
    "InvalidTaskBackend",
    "NotDurable",
    "ParentFailed",
    "PayloadTooLarge",
    "RetriesExhausted",
    "Retry",
    "ScheduleDeclared",
    "ScheduleError",
    "ScheduleExists",
    "ScheduleNotFound",
    "SoftTimeLimitExceeded",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "StreamTasksError",
    "TaskException",
    "TaskFailed",
    "TaskIdInUse",
    "TaskLimitExceeded",
    "TaskResultDoesNotExist",
    "TaskResultMismatch",
    "TaskRevoked",
    "TimeLimitExceeded",
    "UnknownOption",
    "WaitInTask",
    "WorkerCrashed",
    "WorkerLost",
]


class InvalidTask(EngineInvalidTask, DjangoInvalidTask):
    """A task is defined or called in a wrong way; both Django's class and the engine's."""


class UnknownOption(InvalidTask, EngineUnknownOption):
    """``apply_async()`` got a name that is no option, and that the backend does not take either; also a TypeError."""
