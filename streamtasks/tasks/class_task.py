"""Tasks as classes: a ``run()`` method, options as class attributes, and hooks for outcomes.

::

    class Import(ClassTask):
        name = "import"
        max_retries = 1

        def run(self, path):
            self.path = path
            ...

        def on_failure(self, exc, task_id, args, kwargs, einfo):
            logger.error("%s could not be imported: %s", self.path, exc)

    import_task = app.register(Import())

Every attempt, with its hooks, has its own copy of the instance: attributes that ``run()`` sets are visible to the hooks
of that attempt only. Hooks run in the worker before the outcome is committed: at least once for every outcome, twice
only if the process is killed between a hook's start and the commit. Their errors are logged and change nothing; only an
error of ``before_start`` fails the attempt, as an error of ``run()`` would.
"""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Callable, Collection
from contextvars import ContextVar
from dataclasses import fields
from typing import Any, Final, Self

from ..exceptions import InvalidTask
from ..protocol.state import State
from .attempt import Attempt, AttemptOutcome, running_attempt
from .enqueue import Pipeline
from .request import Request, RunningTask
from .run_options import RunOptions
from .task import Task, name_of
from .task_options import USER_NAMES, TaskOptions

__all__ = ["ClassTask", "ErrorInfo", "InstanceTask", "TaskBody", "attributes_of", "tell"]

logger = logging.getLogger("streamtasks.worker")

HOOKS: Final = ("before_start", "on_success", "on_failure", "on_retry", "after_return")

_here: ContextVar[tuple[Attempt, TaskBody] | None] = ContextVar("streamtasks_class_task", default=None)


class ErrorInfo:
    """The error that hooks receive besides the exception.

    Attributes:
        exception: the exception, None for an outcome without one.
        type: its class, likewise.
        traceback: the traceback as text; also what ``str()`` gives.
    """

    __slots__ = ("exception", "traceback", "type")

    def __init__(self, exception: BaseException | None, traceback: str) -> None:
        self.exception = exception
        self.type = None if exception is None else type(exception)
        self.traceback = traceback

    def __str__(self) -> str:
        return self.traceback

    def __repr__(self) -> str:
        return f"<ErrorInfo {self.exception!r}>"


class TaskBody(RunningTask):
    """Base of class-based tasks in plain Python and Django: ``run()``, hooks, and a copy for each attempt.

    Attributes:
        request: the call that runs; see `streamtasks.Request`.
    """

    __slots__ = ()

    request = Request()

    # -- one run -------------------------------------------------------------------------------------

    def for_attempt(self, attempt: Attempt) -> Self:
        """Return the copy for an attempt: the same one for its run and for its hooks."""
        here = _here.get()
        if here is not None and here[0] is attempt and isinstance(here[1], type(self)):
            return here[1]
        one = self._for(Request.of(attempt))
        _here.set((attempt, one))
        return one

    def for_call(self, names: Collection[str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Self:
        """Return the copy for the attempt that runs here, or a new one for a direct call.

        ``names``: what messages may call this task, the usual name first.
        """
        attempt = running_attempt()
        if attempt is not None and attempt.message.task in names:
            return self.for_attempt(attempt)
        return self._for(Request(task=next(iter(names)), args=list(args), kwargs=kwargs))

    def _for(self, request: Request) -> Self:
        one, own = self._copy(), self._run_options()
        for name, value in (
            ("request", request),
            ("max_retries", own.max_retries),
            ("default_retry_delay", own.retry_delay_s),
        ):
            object.__setattr__(one, name, value)
        return one

    def _copy(self) -> Self:
        return copy.copy(self)

    # -- the class -----------------------------------------------------------------------------------

    @classmethod
    def overrides_hooks(cls) -> bool:
        """Return whether the class overrides a hook."""
        return any(getattr(cls, name) is not getattr(TaskBody, name) for name in HOOKS)

    @classmethod
    def check_body(cls) -> None:
        """Raise `InvalidTask` unless it has a ``run()`` and its hooks are plain methods."""
        if cls.run is TaskBody.run:
            raise InvalidTask(f"{cls.__module__}.{cls.__qualname__} has no run() method.")
        for name in HOOKS:
            if inspect.iscoroutinefunction(getattr(cls, name)):
                raise InvalidTask(f"{cls.__qualname__}.{name} is a coroutine function; hooks are plain methods.")

    # -- to be overridden ----------------------------------------------------------------------------

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work; may be a coroutine function."""
        raise NotImplementedError

    def before_start(self, task_id: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Prepare an attempt."""

    def on_success(self, retval: Any, task_id: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Handle a success."""

    def on_failure(
        self, exc: BaseException | None, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: ErrorInfo
    ) -> None:
        """Handle a final failure: an error, a time limit, a revocation, an expiry, a dead letter."""

    def on_retry(
        self, exc: BaseException | None, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: ErrorInfo
    ) -> None:
        """Handle an attempt that will be retried."""

    def after_return(
        self,
        status: str,
        retval: Any,
        task_id: str,
        args: list[Any],
        kwargs: dict[str, Any],
        einfo: ErrorInfo | None,
    ) -> None:
        """Handle any outcome but an ignored one, after the other hooks; ``retval``: the result or the exception."""


class ClassTask(TaskBody):
    """Base of class-based tasks in plain Python: define ``run()``, and give one instance to `StreamTasks.register`.

    Class attributes with the names of task options (see `TaskOptions`) are its options.

    Attributes:
        name: what messages call the task; by default the class's dotted path.
        task: what `StreamTasks.register` returned; None before.
    """

    name: str = ""
    task: InstanceTask | None = None

    def _run_options(self) -> RunOptions:
        return RunOptions() if self.task is None else self.task.options


class InstanceTask(Task[..., Any]):
    """A registered instance of a `ClassTask`: enqueued and called like any task."""

    def __init__(
        self,
        pipeline: Pipeline,
        body: ClassTask,
        name: str,
        options: TaskOptions,
        registered: TaskOptions | None = None,
    ) -> None:
        super().__init__(pipeline, body.run, name, options, registered)
        self.body = body

    @classmethod
    def of(cls, pipeline: Pipeline, body: ClassTask) -> InstanceTask:
        """Return the task of an instance.

        Raises:
            InvalidTask: it is none, its class is not complete, or an option is wrong.
        """
        if not isinstance(body, ClassTask):
            raise InvalidTask(f"register() got {body!r}; it takes an instance of a subclass of ClassTask.")
        if body.task is not None:
            raise InvalidTask(f"This {type(body).__qualname__} is registered already, as {body.task.name}.")
        body.check_body()
        given = attributes_of(type(body), ClassTask, _OPTIONS)
        options = TaskOptions.of({**given, "has_hooks": body.overrides_hooks()})
        return cls(pipeline, body, body.name or name_of(type(body)), options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it here, on a copy of its own."""
        return self.body.for_call((self.name,), args, kwargs).run(*args, **kwargs)

    def run(self, attempt: Attempt) -> Any:
        """See `Runnable.run`."""
        message = attempt.message
        return self.body.for_attempt(attempt).run(*message.args, **message.kwargs)

    def before_start(self, attempt: Attempt) -> None:
        """See `Runnable.before_start`."""
        message = attempt.message
        self.body.for_attempt(attempt).before_start(message.id, message.args, message.kwargs)

    def after(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """See `Runnable.after`."""
        tell(self.body, attempt, outcome)

    def changed(self, options: TaskOptions) -> Self:
        """Return the same task with other options."""
        return type(self)(self._pipeline, self.body, self.name, options, self._registered)


_OPTIONS: Final = frozenset({*(one.name for one in fields(TaskOptions)), *USER_NAMES} - {"bind", "has_hooks"})


def attributes_of(cls: type, base: type, wanted: Collection[str]) -> dict[str, Any]:
    """Return the wanted attributes that ``cls`` and its bases below ``base`` define; the nearest wins."""
    found: dict[str, Any] = {}
    for one in cls.__mro__[: cls.__mro__.index(base)]:
        for name, value in vars(one).items():
            if name in wanted:
                found.setdefault(name, value.__func__ if isinstance(value, staticmethod) else value)
    return found


def tell(body: TaskBody, attempt: Attempt, outcome: AttemptOutcome) -> None:
    """Run the hooks of an outcome. An error in one is logged, and the others still run."""
    if outcome.state == State.IGNORED:
        return
    one, message = body.for_attempt(attempt), attempt.message
    call = (message.id, message.args, message.kwargs)
    if outcome.state == State.SUCCESS:
        _run(one.on_success, attempt, outcome.value, *call)
        _run(one.after_return, attempt, outcome.state.value, outcome.value, *call, None)
        return
    info = ErrorInfo(outcome.error, outcome.traceback)
    hook = one.on_retry if outcome.state == State.RETRY else one.on_failure
    _run(hook, attempt, outcome.error, *call, info)
    _run(one.after_return, attempt, outcome.state.value, outcome.error, *call, info)


def _run(hook: Callable[..., Any], attempt: Attempt, *args: Any) -> None:
    try:
        hook(*args)
    except BaseException:
        logger.exception("%s of task %s (%s) failed", hook.__name__, attempt.id, attempt.message.task)
