"""Serve one alias of ``settings.TASKS`` in a worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from inspect import iscoroutinefunction, signature
from typing import TYPE_CHECKING, Any

from django.conf import settings

from streamtasks import Attempt, AttemptOutcome, Message, Middleware, State, StoreSettings
from streamtasks.application import TaskLog
from streamtasks.tasks.class_task import tell
from streamtasks.tasks.middleware import listens_to_ends
from streamtasks.tasks.run_options import RunOptions

from ..conf import project
from ..enqueue.json_errors import normalized
from ..enqueue.owner import BackendOwner, BackendSchedules
from ..enqueue.signal_dispatch import only_logs
from ..enqueue.store_alias import StoreAlias
from ..framework import PACKAGE, InvalidTaskBackend, task_backends, task_finished
from ..framework import Task as DjangoTask
from ..tasks import declared_schedules
from ..tasks.backoff import with_backoff
from ..tasks.class_hooks import run_off_the_loop
from ..tasks.class_task import Task as ClassTask
from ..tasks.registry import find_task, task_names
from ..tasks.stream_task import StreamTask
from ..tasks.task_context import TaskContext
from .databases import Databases
from .signals import Signals
from .store_result import store_result_middleware

if TYPE_CHECKING:
    from streamtasks.schedules.definition import Definition
    from streamtasks.schedules.schedules import Schedules

    from ..framework import Task
    from .outbox_relay import OutboxRelay


__all__ = ["DjangoApplication", "DjangoRunnable"]

_RETURN = "the return value"

_TASK_LOG = TaskLog(
    PACKAGE,
    {State.STARTED: "RUNNING", State.SUCCESS: "SUCCESSFUL", State.FAILURE: "FAILED"},
    attempts_a_second=1000,
)
"""Django's own logger gets the lines of workers, in its own words. Projects may count them, so there are more."""


class DjangoRunnable:
    """Run one task in a worker; see `streamtasks.application.Runnable`."""

    __slots__ = ("_call", "_signals", "is_async", "name", "run_options", "task")

    def __init__(self, name: str, task: Task[..., Any], signals: Signals) -> None:
        self.name = name
        self.task = task
        self.is_async = iscoroutinefunction(task.func)
        self._call: Callable[..., Any] = task.call
        if type(task).call in (DjangoTask.call, StreamTask.call) and not (
            self.is_async or getattr(task, "bind", False)
        ):
            self._call = task.func  # `call()` would find out for each attempt that it is a plain function
        self.run_options = RunOptions()
        if isinstance(task, StreamTask):
            self.run_options = with_backoff(task.run_options(), task, signals.result_of)
        self._signals = signals

    def run(self, attempt: Attempt) -> Any:
        """Call the task; of a coroutine function, return the coroutine.

        The return value is normalised here, so that one that JSON cannot encode fails the task with Django's own error.
        """
        message = attempt.message
        if self.task.takes_context:
            context = TaskContext(task_result=self._signals.result_of(attempt))
            return (self._run_async_in if self.is_async else self._run_in)(context, message)
        if self.is_async:
            return self._run_async(message.args, message.kwargs)
        return normalized(self._call(*message.args, **message.kwargs), self.name, _RETURN)

    def _run_in(self, context: TaskContext, message: Message) -> Any:
        try:
            value = self._call(context, *message.args, **message.kwargs)
        except BaseException:
            context.save_after_error()
            raise
        context.save_at_end()
        return normalized(value, self.name, _RETURN)

    def check_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """See `Runnable.check_call`."""
        own = self.task.takes_context or getattr(self.task, "bind", False)
        signature(self.task.func).bind(*((None,) if own else ()), *args, **kwargs)

    def before_start(self, attempt: Attempt) -> None:
        """See `Runnable.before_start`."""
        if isinstance(self.task, ClassTask):
            one, message = self.task.for_attempt(attempt), attempt.message
            self._hook(lambda: one.before_start(message.id, message.args, message.kwargs))

    def after(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """See `Runnable.after`."""
        task = self.task
        if isinstance(task, ClassTask):
            task.for_attempt(attempt)  # so that the thread of the hooks finds the copy that ran
            self._hook(lambda: tell(task, attempt, outcome))

    def _hook(self, call: Callable[[], None]) -> None:
        if self.is_async:
            run_off_the_loop(call)
        else:
            call()

    async def _run_async_in(self, context: TaskContext, message: Message) -> Any:
        pending: Coroutine[Any, Any, Any] = self.task.acall(context, *message.args, **message.kwargs)
        try:
            value = await pending
        except Exception:
            await context.asave_after_error()
            raise
        await context.asave_at_end()
        return normalized(value, self.name, _RETURN)

    async def _run_async(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        pending: Coroutine[Any, Any, Any] = self.task.acall(*args, **kwargs)
        return normalized(await pending, self.name, _RETURN)


class DjangoApplication:
    """Messages, tasks and middleware of one alias; see `streamtasks.application.Application`.

    Args:
        backend: the alias.
        own_connections: whether the worker owns its database connections, which are refreshed around each attempt.

    Raises:
        ConfigurationError: OPTIONS or STREAMTASKS has a wrong value.
    """

    def __init__(self, backend: StoreAlias, *, own_connections: bool = True) -> None:
        self.backend = backend
        self.label = backend.alias
        self.settings: StoreSettings = backend.store_settings
        self.worker_defaults = project.worker_defaults(backend.params.get("OPTIONS") or {}, backend.alias)
        self._signals = Signals(backend)
        # The first is outermost and receives outcomes last: database connections are closed when nothing needs them
        # any more, and receivers of signals run inside the context that the project's own middleware sets up.
        databases = (Databases(),) if own_connections else ()
        self.middleware: Sequence[Middleware] = (
            *databases,
            *project.middleware(),
            *store_result_middleware(backend),
            self._signals,
        )
        self._runnables: dict[str, DjangoRunnable] = {}

    def renew_settings(self) -> None:
        """See `streamtasks.application.Application.renew_settings`."""
        self.backend.forget_settings()
        self.settings = self.backend.store_settings

    @property
    def project_name(self) -> str:
        """See `streamtasks.application.Application.project_name`."""
        module = getattr(settings, "SETTINGS_MODULE", None) or os.environ.get("DJANGO_SETTINGS_MODULE")
        return f"{module}:{self.label}" if module else self.label

    @property
    def owner(self) -> BackendOwner:
        """See `streamtasks.application.Application.owner`."""
        return BackendOwner(self.backend)

    @property
    def schedules(self) -> Schedules:
        """The schedules of this alias."""
        return BackendSchedules(self.owner)

    @property
    def listens_to_ends(self) -> bool:
        """See `streamtasks.application.Application.listens_to_ends`; Django's own log lines do not count."""
        wanted = self.backend.wants_outcomes or listens_to_ends(project.middleware())
        return wanted or not only_logs(task_finished)

    @property
    def task_log(self) -> TaskLog:
        """See `streamtasks.application.Application.task_log`."""
        return _TASK_LOG

    @property
    def companion(self) -> Sequence[str]:
        """The process that copies results to the database, if ``result_model`` is set."""
        copies = self.backend.copies_rows and self.backend.keeps_rows
        if not copies:
            return ()
        return sys.executable, "-m", "streamtasks_django.worker.companion", self.label, ",".join(self.settings.tags)

    def declared_schedules(self) -> Sequence[Definition]:
        """See `streamtasks.application.Application.declared_schedules`.

        Raises:
            ConfigurationError: TASK_SCHEDULE is no dict.
        """
        mine = [
            (name, entry)
            for name, entry in declared_schedules.entries()
            if (declared_schedules.alias_of(entry) or _first_alias()) == self.label
        ]
        if not mine:
            return ()
        from streamtasks.schedules.declared import declared

        return declared(BackendOwner(self.backend), mine)

    def relay(self) -> OutboxRelay | None:
        """See `streamtasks.application.Application.relay`."""
        if self.backend.outbox_database is None:
            return None
        from .outbox_relay import OutboxRelay  # only projects with an outbox have its table

        return OutboxRelay(self.backend)

    def task_names(self) -> Sequence[str]:
        """See `streamtasks.application.Application.task_names`."""
        return task_names()

    def find(self, name: str) -> DjangoRunnable | None:
        """Return the task with this name, without importing anything."""
        runnable = self._runnables.get(name)
        if runnable is None:
            task = find_task(name)
            if task is not None:
                runnable = self._runnables[name] = DjangoRunnable(name, task, self._signals)
                if self.backend.wants_outcomes:  # a hook, too
                    runnable.run_options = replace(runnable.run_options, has_hooks=True)
        return runnable


def _first_alias() -> str | None:
    """Return the first alias of TASKS with a store: errors of schedules without a known task are reported there."""
    for alias in task_backends.settings:
        try:
            if isinstance(task_backends[alias], StoreAlias):
                return str(alias)
        except InvalidTaskBackend:
            continue
    return None
