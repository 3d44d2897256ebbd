"""streamtasks: background tasks on Redis Streams, for Django and for plain Python.

This package is what a process needs to define, enqueue and read tasks. Workers live in
``streamtasks_workers``, the Django backend in ``streamtasks_django``.
"""

# The app, tasks and their results
from .app import StreamTasks

# Errors users meet; the whole tree stands in streamtasks.exceptions
from .exceptions import (
    AccessDenied,
    ConfigurationError,
    Ignore,
    InvalidTask,
    NotDurable,
    PayloadTooLarge,
    Retry,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StreamTasksError,
    TaskFailed,
    TaskIdInUse,
    TaskNotFound,
    TaskRevoked,
    UnknownQueue,
)
from .protocol.message import Message
from .protocol.state import State
from .results import Result, wait_for
from .results.workflow_result import GroupResult, Workflow
from .settings import StoreSettings
from .tasks.attempt import Attempt, AttemptOutcome, current_attempt
from .tasks.class_task import ClassTask
from .tasks.middleware import Middleware
from .tasks.request import BoundTask, Request
from .tasks.signature import Signature
from .tasks.task import Task
from .tasks.task_options import TaskOptions

# Workflows
from .workflows.canvas import chain, chord, group

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "Attempt",
    "AttemptOutcome",
    "BoundTask",
    "ClassTask",
    "ConfigurationError",
    "GroupResult",
    "Ignore",
    "InvalidTask",
    "Message",
    "Middleware",
    "NotDurable",
    "PayloadTooLarge",
    "Request",
    "Result",
    "Retry",
    "Signature",
    "State",
    "StoreError",
    "StoreFull",
    "StoreSettings",
    "StoreUnavailable",
    "StreamTasks",
    "StreamTasksError",
    "Task",
    "TaskFailed",
    "TaskIdInUse",
    "TaskNotFound",
    "TaskOptions",
    "TaskRevoked",
    "UnknownQueue",
    "Workflow",
    "__version__",
    "chain",
    "chord",
    "current_attempt",
    "group",
    "wait_for",
]
