"""The app of plain Python: tasks, their store, and middleware. Django has backends instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from functools import cached_property
from typing import Any, Literal, Unpack, overload

from .app_owner import AppOwner
from .application import TaskLog
from .exceptions import ConfigurationError, InvalidTask
from .integrations.active import active_middleware
from .protocol.heard import EVERYTHING
from .protocol.keys import check_task_name
from .protocol.message import Message
from .protocol.state import DeadLetter
from .results import Result
from .results.lookup import group_result
from .results.workflow_result import GroupResult
from .schedules.declared import check_entry, declared, entry_of
from .schedules.definition import Definition
from .schedules.rules import RuleLike, zone_name
from .schedules.schedules import Schedules
from .settings import DEFAULT_URL, StoreSettings
from .stores.base import AsyncStore, Store
from .stores.types import NewMessage
from .tasks.class_task import ClassTask, InstanceTask
from .tasks.decorators import BoundDecorator, Decorator
from .tasks.enqueue import Pipeline, pack
from .tasks.middleware import Middleware, listens_to_ends
from .tasks.option_types import PlainDefinitionOptions
from .tasks.signature import CallOptions
from .tasks.task import CoroutineTask, Task, name_of
from .tasks.task_options import TaskOptions

__all__ = ["StreamTasks"]


class StreamTasks:
    """Tasks and the store to which they are enqueued.

    Args:
        url: the server, ``redis://[user:password@]host:port/db``.
        queues: the queues that may be used; None: any.
        middleware: see `Middleware`; the first is outermost. After `sentry_sdk.init()`, `Sentry` is before them by
            itself.
        label: the name of the app in logs.
        schedule: schedules by name: ``{"task": ..., "schedule": crontab(hour=9, minute=0), "args": [...]}`` and more,
            see `streamtasks.schedules.declared.definition_of_entry`.
        timezone: the time zone of rules that name none.
        **settings: the rest of `StoreSettings`.

    Raises:
        ConfigurationError: a setting is wrong.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        queues: Iterable[str] | None = None,
        middleware: Sequence[Middleware] = (),
        label: str = "app",
        schedule: Mapping[str, Any] | None = None,
        timezone: str | tzinfo = "UTC",
        **settings: Any,
    ) -> None:
        self.queues = None if queues is None else frozenset(queues)
        self.middleware = [*active_middleware(middleware), *middleware]
        self.worker_defaults: dict[str, Any] = {}
        self.owner = AppOwner(label, StoreSettings(url=url, **settings), _checked_zone(timezone))
        self.pipeline = Pipeline(self.owner, self.queues, self.middleware)
        self._schedule = _checked_schedule(schedule)

    @property
    def label(self) -> str:
        """The name of the app in logs."""
        return self.owner.label

    @property
    def project_name(self) -> str:
        """See `streamtasks.application.Application.project_name`."""
        return self.owner.label

    @property
    def settings(self) -> StoreSettings:
        """The settings of its store."""
        return self.owner.settings

    def renew_settings(self) -> None:
        """See `streamtasks.application.Application.renew_settings`."""
        self.owner.use(replace(self.settings))

    @property
    def tasks(self) -> dict[str, Task[Any, Any]]:
        """The registered tasks by name."""
        return self.owner.tasks

    @property
    def store(self) -> Store:
        """The store."""
        return self.owner.store

    @property
    def async_store(self) -> AsyncStore:
        """The same store for event loops."""
        return self.owner.async_store

    @cached_property
    def schedules(self) -> Schedules:
        """The app's schedules: create, change, pause, run and delete them."""
        return Schedules(self.owner)

    @property
    def listens_to_ends(self) -> bool:
        """See `Application.listens_to_ends`."""
        return listens_to_ends(self.middleware)

    @property
    def task_log(self) -> TaskLog:
        """See `Application.task_log`."""
        return TaskLog()

    def relay(self) -> None:
        """See `streamtasks.application.Application.relay`: plain Python has no outbox."""

    @property
    def companion(self) -> Sequence[str]:
        """See `Application.companion`: there is none."""
        return ()

    def declared_schedules(self) -> Sequence[Definition]:
        """See `Application.declared_schedules`."""
        return declared(self.owner, self._schedule.items())

    @overload
    def task[**P, R](self, function: Callable[P, Coroutine[Any, Any, R]], /) -> CoroutineTask[P, R]: ...
    @overload
    def task[**P, R](self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(
        self,
        function: None = None,
        /,
        *,
        bind: Literal[True],
        name: str | None = None,
        schedule: RuleLike | Mapping[str, Any] | None = None,
        **options: Unpack[PlainDefinitionOptions],
    ) -> BoundDecorator: ...
    @overload
    def task(
        self,
        function: None = None,
        /,
        *,
        bind: Literal[False] = False,
        name: str | None = None,
        schedule: RuleLike | Mapping[str, Any] | None = None,
        **options: Unpack[PlainDefinitionOptions],
    ) -> Decorator: ...
    def task(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        schedule: Any = None,
        **options: Any,
    ) -> Any:
        """Register a function as a task; options as in `TaskOptions`.

        ``schedule``: a rule by which it is enqueued repeatedly (`streamtasks.schedules`), or an entry as the app takes
        them, without a task. The schedule has the name of the task.

        Raises:
            InvalidTask: an option is wrong, or the name is taken.
        """

        def register(function: Callable[..., Any]) -> Task[..., Any]:
            cls: type[Task[..., Any]] = CoroutineTask if inspect.iscoroutinefunction(function) else Task
            task = cls(self.pipeline, function, name or name_of(function), TaskOptions.of(options))
            self._add(task, schedule)
            return task

        return register if function is None else register(function)

    def register(self, body: ClassTask, *, schedule: RuleLike | Mapping[str, Any] | None = None) -> Task[..., Any]:
        """Register an instance of a class-based task; return a task that is enqueued like any other.

        ``schedule``: as in `task`.

        Raises:
            InvalidTask: its class has no ``run()``, an option is wrong, or the name is taken.
        """
        task = InstanceTask.of(self.pipeline, body)
        self._add(task, schedule)
        body.task = task
        return task

    def _add(self, task: Task[..., Any], schedule: Any) -> None:
        self.pipeline.check_queue(task.options.queue)
        check_task_name(task.name)
        if task.name in self.owner.tasks:
            raise InvalidTask(f"A task named {task.name} is registered already; give one of them another name=.")
        if schedule is not None:
            self._declare(task, schedule)
        self.owner.tasks[task.name] = task

    def _declare(self, task: Task[..., Any], schedule: Any) -> None:
        if task.name in self._schedule:
            raise InvalidTask(f"schedule: the app has a schedule named {task.name!r} already; declare it once.")
        entry = entry_of(task, schedule)
        check_entry(self.owner.signature_of, entry)
        self._schedule[task.name] = entry

    def task_names(self) -> Sequence[str]:
        """See `Application.task_names`."""
        return list(self.tasks)

    def find(self, name: str) -> Task[Any, Any] | None:
        """See `Application.find`."""
        return self.tasks.get(name)

    def message(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: TaskOptions) -> Message:
        """Return one call as a message that has passed the middleware and is not enqueued yet."""
        registered = self.tasks[name].options if name in self.tasks else options
        call = options.defaults(registered)
        self.pipeline.check(call)
        return self.pipeline.message(name, args, kwargs, call)

    def enqueue(self, messages: Iterable[Message], run_after: datetime | timedelta | None = None) -> list[Result[Any]]:
        """Enqueue messages in one round trip, in order. See `Task.enqueue` for errors."""
        return self.pipeline.send(self._packed(messages, run_after))

    async def aenqueue(
        self, messages: Iterable[Message], run_after: datetime | timedelta | None = None
    ) -> list[Result[Any]]:
        """Enqueue messages from an event loop."""
        return await self.pipeline.asend(self._packed(messages, run_after))

    def _packed(self, messages: Iterable[Message], run_after: datetime | timedelta | None) -> list[NewMessage]:
        call = TaskOptions(run_after=run_after).defaults(TaskOptions())
        return [self._packed_one(message, call) for message in messages]

    def _packed_one(self, message: Message, call: CallOptions) -> NewMessage:
        task = self.tasks.get(message.task)
        hears = EVERYTHING if task is None or task.options.has_hooks else self.pipeline.hears
        return pack(message, call, self.owner.limit_of(message), self.settings, hears)

    def get_result(self, task_id: str) -> Result[Any]:
        """Return a handle on an enqueued task; nothing is read yet."""
        return Result(self.owner, task_id)

    def get_group(self, group_id: str) -> GroupResult:
        """Return a handle on an enqueued group, by the id of its result.

        Raises:
            TaskNotFound: the id is unknown, or is not the id of a group.
        """
        return group_result(self.owner, group_id)

    def dead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """Return dead letters, newest first, at most 100; ``before``: the cursor of the last one seen."""
        return self.store.dead_letters(limit, before)

    async def adead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """Return dead letters, from an event loop; see `dead_letters`."""
        return await self.async_store.dead_letters(limit, before)

    def forget_queue(self, queue: str) -> bool:
        """Delete what is kept of a queue that is used no more, at once; return False if there was nothing.

        It goes by itself some days after its last message (``queue_expires_s``). A queue that is used again comes back.

        Raises:
            QueueNotEmpty: messages are in it; it says how many, and what to do.
            UnknownQueue: it cannot be a queue's name.
        """
        return self.store.forget_queue(queue)

    async def aforget_queue(self, queue: str) -> bool:
        """Delete what is kept of a queue, from an event loop; see `forget_queue`."""
        return await self.async_store.forget_queue(queue)


def _checked_schedule(schedule: Mapping[str, Any] | None) -> dict[str, Any]:
    if schedule is not None and not isinstance(schedule, Mapping):
        raise ConfigurationError(f"schedule is {schedule!r}; it must be a dict of entries by the schedules' names.")
    return dict(schedule or {})


def _checked_zone(timezone: str | tzinfo) -> str:
    if timezone == "UTC":
        return "UTC"
    try:
        return zone_name(timezone)
    except InvalidTask as error:
        raise ConfigurationError(f"timezone: {error}") from error
