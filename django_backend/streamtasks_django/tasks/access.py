"""Define tasks and find backends as Django 6.1 does, on 6.0 as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

import django
from django.tasks import (
    DEFAULT_TASK_BACKEND_ALIAS,
    DEFAULT_TASK_QUEUE_NAME,
    task_backends,
)
from django.tasks.base import DEFAULT_TASK_PRIORITY

if TYPE_CHECKING:
    from django.tasks.backends.base import BaseTaskBackend

    from .stream_task import StreamTask

__all__ = ["get_task_backend", "task"]


def get_task_backend(alias: str = DEFAULT_TASK_BACKEND_ALIAS) -> BaseTaskBackend:
    """Return the backend of an alias of ``settings.TASKS``.

    Raises:
        InvalidTaskBackend: the alias is unknown, or its class cannot be imported.
    """
    return task_backends[alias]


def portable_task(
    function: Callable[..., Any] | None = None,
    *,
    priority: int = DEFAULT_TASK_PRIORITY,
    queue_name: str = DEFAULT_TASK_QUEUE_NAME,
    backend: str = DEFAULT_TASK_BACKEND_ALIAS,
    takes_context: bool = False,
    **options: Any,
) -> Any:
    """Make a task of a module-level function, as ``django.tasks.task`` of Django 6.1 does.

    Django 6.0's decorator has only its own options; this one passes all others to the backend's task class.

    Raises:
        InvalidTask: the function cannot be a task, or an option's value is wrong.
        TypeError: an option is unknown.
    """
    if "run_after" in options:
        raise TypeError("run_after belongs to one call: use .using(run_after=...) instead.")

    def make(function: Callable[..., Any]) -> Any:
        return task_backends[backend].task_class(
            func=function,
            priority=priority,
            queue_name=queue_name,
            backend=backend,
            takes_context=takes_context,
            run_after=None,
            **options,
        )

    return make if function is None else make(function)


if TYPE_CHECKING:

    @overload
    def task(function: Callable[..., Any], /) -> StreamTask: ...
    @overload
    def task(function: None = None, /, **options: Any) -> Callable[[Callable[..., Any]], StreamTask]: ...
    def task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Make a task of a module-level function; `StreamTask` describes all options."""
elif django.VERSION >= (6, 1):
    from django.tasks import task
else:
    task = portable_task
