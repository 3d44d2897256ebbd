"""Run Django's tasks on streamtasks: backends for ``django.tasks``, and their side of the workers.

::

    TASKS = {
        "default": {
            "BACKEND": "streamtasks_django.backends.redis.RedisBackend",
            "OPTIONS": {"url": "redis://127.0.0.1:6379/0"},
        }
    }

Importing this package does not import Django: its names are imported at their first use, so that a settings module
may import it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamtasks.workflows.canvas import chain, chord, group

    from .backends.access import get_task_backend
    from .framework import (
        DEFAULT_TASK_BACKEND_ALIAS,
        DEFAULT_TASK_QUEUE_NAME,
        TaskResult,
        TaskResultStatus,
        default_task_backend,
        task_backends,
    )
    from .install import install_as_django_tasks
    from .manager import TaskResultManager
    from .monitor import TaskMonitor
    from .results.task_result import StreamTaskResult
    from .tasks.class_task import Task
    from .tasks.commit_request import enqueue_on_commit
    from .tasks.decorator import task
    from .tasks.stream_task import StreamTask
    from .tasks.task_context import TaskContext

__all__ = [
    "DEFAULT_TASK_BACKEND_ALIAS",
    "DEFAULT_TASK_QUEUE_NAME",
    "StreamTask",
    "StreamTaskResult",
    "Task",
    "TaskContext",
    "TaskMonitor",
    "TaskResult",
    "TaskResultManager",
    "TaskResultStatus",
    "chain",
    "chord",
    "default_task_backend",
    "enqueue_on_commit",
    "get_task_backend",
    "group",
    "install_as_django_tasks",
    "task",
    "task_backends",
]

_ORIGIN = {
    "DEFAULT_TASK_BACKEND_ALIAS": "streamtasks_django.framework",
    "DEFAULT_TASK_QUEUE_NAME": "streamtasks_django.framework",
    "StreamTask": "streamtasks_django.tasks.stream_task",
    "StreamTaskResult": "streamtasks_django.results.task_result",
    "Task": "streamtasks_django.tasks.class_task",
    "TaskContext": "streamtasks_django.tasks.task_context",
    "TaskMonitor": "streamtasks_django.monitor",
    "TaskResult": "streamtasks_django.framework",
    "TaskResultManager": "streamtasks_django.manager",
    "TaskResultStatus": "streamtasks_django.framework",
    "chain": "streamtasks.workflows.canvas",
    "chord": "streamtasks.workflows.canvas",
    "default_task_backend": "streamtasks_django.framework",
    "enqueue_on_commit": "streamtasks_django.tasks.commit_request",
    "get_task_backend": "streamtasks_django.backends.access",
    "group": "streamtasks.workflows.canvas",
    "install_as_django_tasks": "streamtasks_django.install",
    "task": "streamtasks_django.tasks.decorator",
    "task_backends": "streamtasks_django.framework",
}


def __getattr__(name: str) -> Any:
    if name not in _ORIGIN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_ORIGIN[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
