"""The decorator ``task`` of Django 6.1, on 6.0 as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import django

from ..framework import DEFAULT_TASK_BACKEND_ALIAS, DEFAULT_TASK_PRIORITY, DEFAULT_TASK_QUEUE_NAME, task_backends

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Concatenate, Literal, Protocol, Unpack, overload

    from streamtasks.tasks.request import BoundTask

    from .option_types import DjangoDefinitionOptions
    from .stream_task import StreamTask
    from .task_context import TaskContext

__all__ = ["task"]


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

    class TaskDecorator(Protocol):
        """Make a task of a function; tell a coroutine function from a plain one."""

        @overload
        def __call__[**P, R](self, function: Callable[P, Coroutine[Any, Any, R]], /) -> StreamTask[P, R]: ...
        @overload
        def __call__[**P, R](self, function: Callable[P, R], /) -> StreamTask[P, R]: ...

    class BoundTaskDecorator(Protocol):
        """Make a task of a function whose first argument is ``self``, a `BoundTask`."""

        @overload
        def __call__[**P, R](
            self, function: Callable[Concatenate[BoundTask, P], Coroutine[Any, Any, R]], /
        ) -> StreamTask[P, R]: ...
        @overload
        def __call__[**P, R](self, function: Callable[Concatenate[BoundTask, P], R], /) -> StreamTask[P, R]: ...

    class ContextTaskDecorator(Protocol):
        """Make a task of a function whose first argument is a `TaskContext`."""

        @overload
        def __call__[**P, R](
            self, function: Callable[Concatenate[TaskContext, P], Coroutine[Any, Any, R]], /
        ) -> StreamTask[P, R]: ...
        @overload
        def __call__[**P, R](self, function: Callable[Concatenate[TaskContext, P], R], /) -> StreamTask[P, R]: ...

    @overload
    def task[**P, R](function: Callable[P, Coroutine[Any, Any, R]], /) -> StreamTask[P, R]: ...
    @overload
    def task[**P, R](function: Callable[P, R], /) -> StreamTask[P, R]: ...
    @overload
    def task(
        function: None = None, /, *, bind: Literal[True], **options: Unpack[DjangoDefinitionOptions]
    ) -> BoundTaskDecorator: ...
    @overload
    def task(
        function: None = None, /, *, takes_context: Literal[True], **options: Unpack[DjangoDefinitionOptions]
    ) -> ContextTaskDecorator: ...
    @overload
    def task(
        function: None = None,
        /,
        *,
        bind: Literal[False] = False,
        takes_context: Literal[False] = False,
        **options: Unpack[DjangoDefinitionOptions],
    ) -> TaskDecorator: ...
    def task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Make a task of a module-level function; `StreamTask` describes all options."""
elif django.VERSION >= (6, 1):
    from ..framework import task
else:
    task = portable_task
