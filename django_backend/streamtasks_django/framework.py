"""Django's tasks framework: ``django.tasks``, or on Django 5.2 its backport, the package ``django-tasks``.

All other modules import its names from here. The backport calls some of them differently.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

import django

if TYPE_CHECKING or django.VERSION >= (6, 0):
    from django.tasks import default_task_backend, signals, task, task_backends
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.backends.dummy import DummyBackend
    from django.tasks.backends.immediate import ImmediateBackend
    from django.tasks.base import (
        DEFAULT_TASK_BACKEND_ALIAS,
        DEFAULT_TASK_PRIORITY,
        DEFAULT_TASK_QUEUE_NAME,
        TASK_REFRESH_ATTRS,
        Task,
        TaskContext,
        TaskError,
        TaskResult,
        TaskResultStatus,
    )
    from django.tasks.exceptions import (
        InvalidTask,
        InvalidTaskBackend,
        TaskException,
        TaskResultDoesNotExist,
        TaskResultMismatch,
    )
    from django.tasks.signals import (
        log_task_finished,
        log_task_started,
        task_enqueued,
        task_finished,
        task_started,
    )
    from django.utils.json import normalize_json
else:
    try:
        import django_tasks  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Django {django.get_version()} has no tasks of its own, and their backport cannot be imported ({error}): "
            "pip install 'streamtasks[django52]', or use Django 6.0 or later.",
            name="django_tasks",
        ) from error
    from django_tasks import default_task_backend, signals, task, task_backends
    from django_tasks.backends.base import BaseTaskBackend
    from django_tasks.backends.dummy import DummyBackend
    from django_tasks.backends.immediate import ImmediateBackend
    from django_tasks.base import (
        DEFAULT_TASK_BACKEND_ALIAS,
        DEFAULT_TASK_PRIORITY,
        DEFAULT_TASK_QUEUE_NAME,
        TASK_REFRESH_ATTRS,
        Task,
        TaskContext,
        TaskError,
        TaskResult,
        TaskResultStatus,
    )
    from django_tasks.exceptions import InvalidTaskBackendError as InvalidTaskBackend
    from django_tasks.exceptions import InvalidTaskError as InvalidTask
    from django_tasks.exceptions import TaskException, TaskResultDoesNotExist, TaskResultMismatch
    from django_tasks.signals import (
        log_task_finished,
        log_task_started,
        task_enqueued,
        task_finished,
        task_started,
    )
    from django_tasks.utils import normalize_json

__all__ = [
    "DEFAULT_TASK_BACKEND_ALIAS",
    "DEFAULT_TASK_PRIORITY",
    "DEFAULT_TASK_QUEUE_NAME",
    "PACKAGE",
    "TASK_REFRESH_ATTRS",
    "BaseTaskBackend",
    "DummyBackend",
    "ImmediateBackend",
    "InvalidTask",
    "InvalidTaskBackend",
    "Task",
    "TaskContext",
    "TaskError",
    "TaskException",
    "TaskResult",
    "TaskResultDoesNotExist",
    "TaskResultMismatch",
    "TaskResultStatus",
    "alias_backport",
    "default_task_backend",
    "log_task_finished",
    "log_task_started",
    "normalize_json",
    "register_checks",
    "signals",
    "task",
    "task_backends",
    "task_enqueued",
    "task_finished",
    "task_started",
]

PACKAGE: Final = Task.__module__.removesuffix(".base")
"""Where the names come from, which is the name of the logger, too."""

_BACKPORT: Final = "django_tasks"
_MODULES: Final = ("", ".base", ".exceptions", ".signals", ".backends", ".backends.base", ".backends.dummy")


def register_checks() -> None:
    """Register the framework's system check of TASKS, through which the checks of each backend run."""
    import_module(f"{PACKAGE}.checks" if PACKAGE == _BACKPORT else PACKAGE)


def alias_backport() -> None:
    """Let ``import django.tasks`` find the backport, with the names of Django 6; do nothing where Django has it."""
    if PACKAGE != _BACKPORT:
        return
    for name in (*_MODULES, ".backends.immediate"):
        sys.modules[f"django.tasks{name}"] = import_module(_BACKPORT + name)
    django.tasks = sys.modules["django.tasks"]  # pyright: ignore[reportAttributeAccessIssue]
    exceptions = sys.modules["django.tasks.exceptions"]
    exceptions.InvalidTask, exceptions.InvalidTaskBackend = InvalidTask, InvalidTaskBackend  # type: ignore[attr-defined]
