"""Everything streamtasks raises on purpose.

::

    StreamTasksError
    ├── ConfigurationError            a setting or option is wrong
    │   └── ServerNotSupported        the server is too old, or set up so that it may lose tasks
    ├── InvalidTask                   a task is defined or called in a way that cannot work
    │   ├── UnknownQueue
    │   └── PayloadTooLarge
    ├── StoreError                    the store did not do what was asked
    │   ├── StoreUnavailable          no answer until the deadline (also a ConnectionError)
    │   ├── AccessDenied              wrong user or password
    │   └── StoreFull                 out of memory: nothing was stored
    ├── DecodeError                   bytes that are not a message or record of ours
    │   ├── EncodingRefused           a pickle or compressed data that this process may not read
    │   └── EncodingUnavailable       the library that reads them is not installed here
    ├── TaskNotFound                  no task of that id
    ├── ScheduleError                 a schedule cannot be what was asked
    │   ├── ScheduleExists            there is one of that name
    │   ├── ScheduleNotFound          there is none of that name
    │   └── ScheduleDeclared          it is declared in code, and changed there
    ├── ParentFailed                  recorded for a task that was to follow one that failed
    ├── RetriesExhausted              a task asked to be run again more often than it may be
    ├── TaskLimitExceeded             an attempt ran for too long
    │   ├── SoftTimeLimitExceeded     raised in the task, which may clean up
    │   └── TimeLimitExceeded         recorded for a task that was ended
    ├── NeverIdle                     tasks that were run in-process go on without end
    ├── TaskFailed                    the awaited task failed, and its exception type is not known here
    └── TaskRevoked                   the awaited task was revoked

``Retry`` and ``Ignore`` are signals a running task raises; they are no errors.
"""

from __future__ import annotations

__all__ = [
    "AccessDenied",
    "ConfigurationError",
    "DecodeError",
    "EncodingRefused",
    "EncodingUnavailable",
    "Ignore",
    "InvalidTask",
    "NeverIdle",
    "ParentFailed",
    "PayloadTooLarge",
    "RetriesExhausted",
    "Retry",
    "ScheduleDeclared",
    "ScheduleError",
    "ScheduleExists",
    "ScheduleNotFound",
    "ServerNotSupported",
    "SoftTimeLimitExceeded",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "StreamTasksError",
    "TaskFailed",
    "TaskLimitExceeded",
    "TaskNotFound",
    "TaskRevoked",
    "TimeLimitExceeded",
    "UnknownQueue",
    "WorkerCrashed",
    "WorkerLost",
]


class StreamTasksError(Exception):
    """Base of every error of streamtasks."""


class ConfigurationError(StreamTasksError):
    """Raised when a setting or an option is wrong; the message names it, its value and the remedy."""


class ServerNotSupported(ConfigurationError):
    """Raised by a worker that refuses a server on which tasks could be lost."""


class InvalidTask(StreamTasksError, ValueError):
    """Raised when a task is defined or called in a way that cannot work."""


class UnknownQueue(InvalidTask):
    """Raised when a queue is not one of those that are configured, or its name cannot be one."""


class PayloadTooLarge(InvalidTask):
    """Raised when arguments or a result are larger than ``max_payload_bytes``."""


class StoreError(StreamTasksError):
    """Raised when the store answers with an error that repeating does not mend."""


class StoreUnavailable(StoreError, ConnectionError):
    """Raised when the store gave no answer until the deadline.

    Whether the last call took effect is not known; every call of ours is safe to repeat.
    """


class AccessDenied(StoreError):
    """Raised when the server refuses the user, the password or a command."""


class StoreFull(StoreError):
    """Raised when the server is out of memory. Nothing was stored; workers go on and free memory."""


class DecodeError(StreamTasksError, ValueError):
    """Raised when bytes are not a message or a record of ours."""


class EncodingRefused(DecodeError):
    """Raised when this process may not read bytes: a pickle it is not set to read, or that is not signed with one of
    its keys; compressed data that are damaged or would become too large.
    """


class EncodingUnavailable(DecodeError):
    """Raised when bytes need a library that is not installed here; the message names it."""


class TaskNotFound(StreamTasksError, KeyError):
    """Raised when no task of that id is known: never enqueued, or its result has expired."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ScheduleError(StreamTasksError):
    """Base of what is wrong with a schedule; one that is defined in a wrong way is an `InvalidTask`."""


class ScheduleExists(ScheduleError):
    """Raised when a schedule is to be made and there is another one of that name."""


class ScheduleNotFound(ScheduleError, KeyError):
    """Raised when there is no schedule of that name."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ScheduleDeclared(ScheduleError):
    """Raised when a schedule is to be changed or deleted that code or settings declare: it is changed there."""


class TaskFailed(StreamTasksError):
    """Raised by ``get()`` for a failed task whose exception type cannot be had here.

    Attributes:
        exception_path: dotted name of the exception's class, for example ``"builtins.ValueError"``.
        traceback: the traceback as text.
    """

    def __init__(self, message: str, exception_path: str = "", traceback: str = "") -> None:
        super().__init__(message)
        self.exception_path = exception_path
        self.traceback = traceback


class TaskRevoked(StreamTasksError):
    """Raised by ``get()`` for a task that was revoked before it finished."""


class ParentFailed(StreamTasksError):
    """Recorded for a task that was not run, because one that it follows did not succeed."""


class RetriesExhausted(StreamTasksError):
    """Raised by ``self.retry()`` if there are no more retries, and no error was given as the reason."""


class TaskLimitExceeded(StreamTasksError):
    """Raised or recorded when an attempt ran for longer than a limit of its task allows."""


class SoftTimeLimitExceeded(TaskLimitExceeded):
    """Raised in a task that runs for longer than its ``soft_time_limit``."""


class TimeLimitExceeded(TaskLimitExceeded):
    """Recorded for a task that was ended because it ran for longer than its ``time_limit``."""


class NeverIdle(StreamTasksError):
    """Raised by ``run_until_idle()`` when more attempts were run than it may run, and there is more to run."""


class WorkerCrashed(StreamTasksError):
    """Recorded for a task whose process died while it ran, once too often."""


class WorkerLost(StreamTasksError):
    """Recorded for a task whose whole worker vanished while it ran, once too often."""


class Ignore(Exception):
    """Raise it in a task to end it without a result and without a failure."""


class Retry(Exception):
    """Raise it in a task to run it again after ``delay_s`` seconds.

    Args:
        message: why, kept with the attempt.
        delay_s: seconds until the next attempt; ``None``: the task's own default.
        exc: the error that is the reason; it is what finally failed if there are no more retries.
        max_retries: how often the task may be run again, instead of what it says itself; -1: without end.
    """

    def __init__(
        self,
        message: str = "",
        *,
        delay_s: float | None = None,
        exc: BaseException | None = None,
        max_retries: int | None = None,
    ) -> None:
        super().__init__(message)
        self.delay_s = delay_s
        self.exc = exc
        self.max_retries = max_retries
