"""The exceptions of streamtasks.

::

    StreamTasksError
    ├── ConfigurationError            a setting or option is wrong
    │   └── ServerNotSupported        the server is too old, or set up so that it may lose tasks
    ├── InvalidTask                   a task is defined or called in a way that cannot work
    │   ├── InvalidKey                a dict has a key that is not a string (also a TypeError)
    │   ├── UnknownQueue
    │   ├── TaskIdInUse               another call has this id
    │   └── PayloadTooLarge
    ├── StoreError                    the store did not do what was asked
    │   ├── StoreUnavailable          no answer until the deadline (also a ConnectionError)
    │   ├── AccessDenied              wrong user or password
    │   ├── UntrustedServer           a TLS certificate is expired, or of an unknown authority or name
    │   ├── UnknownService            no Sentinel knows the service
    │   ├── NotDurable                enqueued at the master, but not as durable as was asked for
    │   └── StoreFull                 out of memory: nothing was stored
    ├── DecodeError                   bytes that are not a message or record of ours
    │   ├── EncodingRefused           a pickle or compressed data that this process may not read
    │   │   └── NotAuthentic          a signature that is wrong or missing, or encrypted data that were changed
    │   └── EncodingUnavailable       the library that reads them is not installed here
    │       └── UnknownKey            they are signed or encrypted with a key that this process does not have
    ├── ClaimLost                     another worker has the message of a task that still runs here
    ├── TaskNotFound                  no task of that id
    ├── QueueNotEmpty                 a queue cannot be forgotten: messages are in it
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
    ├── WaitInTask                    a task would wait for a result and keep its place in a worker meanwhile
    ├── TaskFailed                    the awaited task failed, and its exception type is not known here
    └── TaskRevoked                   the awaited task was revoked

``Retry`` and ``Ignore`` are signals a running task raises; they are no errors. Their base is ``ControlFlow``.
"""

from __future__ import annotations

from .control_flow import ControlFlow, Ignore, Retry

__all__ = [
    "AccessDenied",
    "ClaimLost",
    "ConfigurationError",
    "ControlFlow",
    "DecodeError",
    "EncodingRefused",
    "EncodingUnavailable",
    "Ignore",
    "InvalidKey",
    "InvalidTask",
    "NeverIdle",
    "NotAuthentic",
    "NotDurable",
    "ParentFailed",
    "PayloadTooLarge",
    "QueueNotEmpty",
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
    "TaskIdInUse",
    "TaskLimitExceeded",
    "TaskNotFound",
    "TaskRevoked",
    "TimeLimitExceeded",
    "UnknownKey",
    "UnknownQueue",
    "UnknownService",
    "UntrustedServer",
    "WaitInTask",
    "WorkerCrashed",
    "WorkerLost",
]


class StreamTasksError(Exception):
    """Base of every error of streamtasks."""


class ConfigurationError(StreamTasksError):
    """Raised when a setting or an option is wrong; the message names it, its value and the remedy."""


class ServerNotSupported(ConfigurationError):
    """Raised for a server on which tasks could be lost, or that cannot give the durability that is asked for."""


class InvalidTask(StreamTasksError, ValueError):
    """Raised when a task is defined or called in a way that cannot work."""


class UnknownOption(InvalidTask, TypeError):
    """Raised for an option of a call that there is not, as Python raises a TypeError for an unknown argument."""


class InvalidKey(InvalidTask, TypeError):
    """Raised when a dict in arguments or a result has a key that is not a string: JSON would merge ``1`` and ``"1"``.

    Attributes:
        path: keys and positions that lead to the dict.
        key: the key.
    """

    def __init__(self, message: str, path: tuple[object, ...] = (), key: object = None) -> None:
        super().__init__(message)
        self.path = path
        self.key = key


class UnknownQueue(InvalidTask):
    """Raised when a queue is not configured, or its name is invalid."""


class TaskIdInUse(InvalidTask):
    """Raised when ``task_id`` is the id of another call. Nothing was enqueued."""


class PayloadTooLarge(InvalidTask):
    """Raised when arguments or a result are larger than ``max_payload_bytes``."""


class StoreError(StreamTasksError):
    """Raised when the store answers with an error that a repeated call would not avoid."""


class StoreUnavailable(StoreError, ConnectionError):
    """Raised when the store does not answer before the deadline.

    Whether the last call took effect is not known; every call of ours is safe to repeat.

    Attributes:
        reached: whether a server answered, but could not serve: it is a replica, or still loads.
    """

    reached: bool = False


class AccessDenied(StoreError):
    """Raised when the server refuses the user, the password or a command."""


class UntrustedServer(StoreError):
    """Raised when no TLS connection can be made.

    A certificate is not accepted: it has expired, or is of another name or an unknown authority. Or the server wants
    one of ours, or speaks no TLS, or a file of the TLS options cannot be used.
    """


class UnknownService(StoreError):
    """Raised when Sentinels answer and do not know the service; the message names those that they know."""


class NotDurable(StoreError):
    """Raised when a message is enqueued at the master, but not as durable as was asked for in its time.

    It will run, unless a fault loses it. Enqueueing it again under the same id is safe, and waits again.

    Attributes:
        task_id: its id; of a workflow, that one's.
        task_ids: the ids of all messages of the call.
        durability: the level that was asked for.
        acknowledged: how many replicas have it; with ``"aof"``, in their files.
        replicas: how many should.
        fsynced: whether it is in the file of the master; None: that was not asked for.
        waited_s: how long was waited, seconds.
    """

    def __init__(
        self,
        message: str,
        task_id: str = "",
        *,
        task_ids: tuple[str, ...] = (),
        durability: str = "",
        acknowledged: int = 0,
        replicas: int = 0,
        fsynced: bool | None = None,
        waited_s: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.task_ids = task_ids or (task_id,)
        self.durability = durability
        self.acknowledged = acknowledged
        self.replicas = replicas
        self.fsynced = fsynced
        self.waited_s = waited_s


class StoreFull(StoreError):
    """Raised when the server is out of memory. Nothing was stored; workers go on and free memory."""


class DecodeError(StreamTasksError, ValueError):
    """Raised when bytes are not a message or a record of streamtasks."""


class EncodingRefused(DecodeError):
    """Raised when this process may not read bytes: a pickle it is not set to read, or that is not signed with one of
    its keys; compressed data that are damaged or would become too large.
    """


class NotAuthentic(EncodingRefused):
    """Raised for a message or a result that is not signed although it must be, or was changed, forged or moved.

    Attributes:
        why: what is wrong and what to do, in a few words without names: the reason of its dead letter.
    """

    def __init__(self, message: str, why: str = "") -> None:
        super().__init__(message)
        self.why = why


class EncodingUnavailable(DecodeError):
    """Raised when bytes need a library that is not installed here; the message names it."""


class UnknownKey(EncodingUnavailable):
    """Raised for bytes that were signed or encrypted with a key that this process does not have.

    Attributes:
        why: as of `NotAuthentic`.
    """

    def __init__(self, message: str, why: str = "") -> None:
        super().__init__(message)
        self.why = why


class ClaimLost(StreamTasksError):
    """Raised in a task that stores something after another worker got its message; nothing was stored."""


class QueueNotEmpty(StreamTasksError):
    """Raised when a queue cannot be forgotten, because messages are in it.

    Attributes:
        messages: how many.
    """

    def __init__(self, message: str, messages: int = 0) -> None:
        super().__init__(message)
        self.messages = messages


class TaskNotFound(StreamTasksError, KeyError):
    """Raised when an id is unknown: the task was never enqueued, or its result has expired."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ScheduleError(StreamTasksError):
    """Base of errors with existing schedules; a wrong definition raises `InvalidTask`."""


class ScheduleExists(ScheduleError):
    """Raised when a schedule is created under a name that exists already."""


class ScheduleNotFound(ScheduleError, KeyError):
    """Raised when a schedule does not exist."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ScheduleDeclared(ScheduleError):
    """Raised when a schedule that code or settings declare is changed or deleted; change the declaration instead."""


class TaskFailed(StreamTasksError):
    """Raised by ``get()`` for a failed task whose exception class is not loaded here.

    Attributes:
        exception_path: dotted name of the exception's class, for example ``"builtins.ValueError"``.
        traceback: the traceback as text.
    """

    def __init__(self, message: str, exception_path: str = "", traceback: str = "") -> None:
        super().__init__(message)
        self.exception_path = exception_path
        self.traceback = traceback


class WaitInTask(StreamTasksError, RuntimeError):
    """Raised by ``get()`` inside a task for a result that is not there yet, unless ``allow_wait`` is True."""


class TaskRevoked(StreamTasksError):
    """Raised by ``get()`` for a task that was revoked before it finished."""


class ParentFailed(StreamTasksError):
    """Recorded for a task that was not run because a task that it follows did not succeed."""


class RetriesExhausted(StreamTasksError):
    """Raised by ``self.retry()`` without an error as the reason if no retries are left."""


class TaskLimitExceeded(StreamTasksError):
    """Raised or recorded when an attempt exceeds a time limit."""


class SoftTimeLimitExceeded(TaskLimitExceeded):
    """Raised in a task that exceeds its ``soft_time_limit``."""


class TimeLimitExceeded(TaskLimitExceeded):
    """Recorded for a task that was ended because it exceeded its ``time_limit``."""


class NeverIdle(StreamTasksError):
    """Raised by ``run_until_idle()`` when tasks are left after the most attempts that it may run."""


class WorkerCrashed(StreamTasksError):
    """Recorded for a task whose process died too often while it ran."""


class WorkerLost(StreamTasksError):
    """Recorded for a task whose whole worker vanished too often while it ran."""
