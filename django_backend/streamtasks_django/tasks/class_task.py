"""Tasks as classes: a ``run()`` method, options as class attributes, and hooks for outcomes.

::

    class Import(Task):
        name = "import"
        max_retries = 1

        def run(self, path):
            self.path = path
            ...

        def on_failure(self, exc, task_id, args, kwargs, einfo):
            logger.error("%s could not be imported: %s", self.path, exc)

    import_task = Import()  # registers it
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any, Final, Self

from asgiref.sync import async_to_sync, sync_to_async
from django.utils.module_loading import import_string

from streamtasks.exceptions import InvalidTask as EngineInvalidTask
from streamtasks.tasks.class_task import ErrorInfo, TaskBody, attributes_of
from streamtasks.tasks.run_options import RunOptions

from ..exceptions import InvalidTask
from ..framework import DEFAULT_TASK_BACKEND_ALIAS, DEFAULT_TASK_PRIORITY, DEFAULT_TASK_QUEUE_NAME
from .stream_task import StreamTask

__all__ = ["ErrorInfo", "Task"]

_DEFAULTS: Final[dict[str, Any]] = {
    "priority": DEFAULT_TASK_PRIORITY,
    "queue_name": DEFAULT_TASK_QUEUE_NAME,
    "backend": DEFAULT_TASK_BACKEND_ALIAS,
    "run_after": None,
}
"""Fields of Django's own task that have no defaults in 6.0."""


class Task(TaskBody, StreamTask[..., Any]):
    """Base of class-based tasks: define ``run()``, and make one instance in the module.

    Class attributes with the names of `StreamTask`'s options are its options. Each attempt, with its hooks, has its own
    copy of the instance: only the hooks of that attempt see the attributes that ``run()`` sets.

    Hooks run in the worker before the outcome is committed. They run at least once for every outcome, and twice only
    if the process is killed between a hook's start and the commit. Their errors are logged and change nothing, except
    that an error of ``before_start`` fails the attempt as one of ``run()`` would.

    See `streamtasks.tasks.class_task.TaskBody` for its other methods.
    """

    def __init__(self, **given: Any) -> None:
        cls = type(self)
        try:
            cls.check_body()
        except EngineInvalidTask as error:
            raise InvalidTask(str(error)) from error
        options: dict[str, Any] = {**_DEFAULTS, **_class_options(cls), **given}
        options.pop("bind", None)  # ``self`` of ``run()`` is the task
        if options.pop("takes_context", False):
            raise InvalidTask(f"{cls.__qualname__}: takes_context is for functions; use self.request.")
        cls.check_names(options)
        StreamTask.__init__(self, func=_function_of(self), **options)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _fields():
            raise AttributeError(f"{name} is an option of {type(self).__name__}; change it with using({name}=...).")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)

    def changed(self, **changes: Any) -> Self:
        """Return the task with other values of these fields; ``__init__`` of a subclass is not called."""
        new = self._copy()
        for name, value in changes.items():
            object.__setattr__(new, name, value)
        new.__post_init__(None)
        return new

    @classmethod
    def _reconstruct(cls, kwargs: dict[str, Any]) -> Self:
        path = kwargs.pop("func")
        try:
            found = import_string(path)
        except ImportError as error:
            raise ValueError(f"Expected {path!r} to point to a Task instance.") from error
        if not isinstance(found, cls):
            raise ValueError(f"Expected {path!r} to point to a Task instance.")  # noqa: TRY004 - as Django's own
        return found.changed(**kwargs)

    @property
    def module_path(self) -> str:
        """The import path of the instance, which finds the task; not that of the class."""
        known = self.__dict__.get("_path")
        if known is not None:
            return str(known)
        module = self.func.__module__
        for name, value in list(vars(sys.modules.get(module, object())).items()) if module in sys.modules else ():
            if isinstance(value, Task) and value.func is self.func:
                path = f"{module}.{name}"
                object.__setattr__(self, "_path", path)
                return path
        return f"{module}.{self.func.__qualname__}"

    def has_hooks(self) -> bool:
        """Return whether the class overrides a hook."""
        return self.overrides_hooks()

    # -- running it ----------------------------------------------------------------------------------

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task here, on a copy of the instance."""
        run = self.for_run(args, kwargs).run
        return (async_to_sync(run) if inspect.iscoroutinefunction(run) else run)(*args, **kwargs)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        """Run a coroutine method on this event loop, a plain ``run()`` on another thread."""
        run = self.for_run(args, kwargs).run
        return await (run if inspect.iscoroutinefunction(run) else sync_to_async(run))(*args, **kwargs)

    def for_run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Self:
        """Return the copy for the attempt that is running here, or a new one for a direct call."""
        return self.for_call((self.registered_name, self.module_path), args, kwargs)

    def _run_options(self) -> RunOptions:
        return self.run_options()

    def _copy(self) -> Self:
        one = object.__new__(type(self))
        for name in _fields():
            object.__setattr__(one, name, getattr(self, name))
        one.__dict__.update(self.__dict__)
        return one


@cache
def _fields() -> frozenset[str]:
    return frozenset(one.name for one in fields(StreamTask))


def _class_options(cls: type[Task]) -> dict[str, Any]:
    """Return the options among the attributes of this class and its bases below `Task`, the nearest first."""
    return attributes_of(cls, Task, {*_fields(), "queue"} - {"func", "options"})


def _function_of(task: Task) -> Callable[..., Any]:
    """Return a function that represents the class: Django identifies a task by a module-level function."""
    cls = type(task)

    def function(*args: Any, **kwargs: Any) -> Any:
        return task.call(*args, **kwargs)

    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        return await task.acall(*args, **kwargs)

    made: Any = coroutine if inspect.iscoroutinefunction(cls.run) else function
    made.__module__, made.__name__, made.__qualname__ = cls.__module__, cls.__name__, cls.__qualname__
    made.__doc__ = inspect.getdoc(cls.run)
    signature = inspect.signature(cls.run)
    made.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])
    made.owner = cls
    return made  # type: ignore[no-any-return]
