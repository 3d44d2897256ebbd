"""An app: tasks, the store they are enqueued to, and middleware. For plain Python; Django builds its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, Literal, overload

from .exceptions import ConfigurationError, InvalidTask, UnknownQueue
from .middleware import Middleware
from .protocol.message import Message
from .protocol.state import DeadLetter
from .results import Result
from .settings import DEFAULT_URL, StoreSettings
from .stores.base import AsyncStore, Store
from .stores.factory import open_async_store, open_store
from .stores.types import NewMessage
from .tasks.call_options import CallOptions
from .tasks.enqueue import build, pack
from .tasks.request import BoundTask
from .tasks.task import Task, TaskOptions, name_of
from .workflows.app_home import AppHome
from .workflows.results import GroupResult, group_result

if TYPE_CHECKING:
    from .schedules.definition import Definition
    from .schedules.schedules import Schedules
    from .tasks.class_task import ClassTask

__all__ = ["StreamTasks"]


class StreamTasks:
    """Tasks and where they go.

    Args:
        url: the server, ``redis://[user:password@]host:port/db``.
        queues: the queues that may be used; None: any.
        middleware: see `Middleware`; the first is outermost.
        label: how logs name this app.
        schedule: schedules by name: ``{"task": ..., "schedule": crontab(hour=9, minute=0), "args": [...]}`` and more,
            see `streamtasks.schedules.declared.definition_of_entry`.
        timezone: of rules that name no zone.
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
        self.label = label
        self.settings = StoreSettings(url=url, **settings)
        self.queues = None if queues is None else frozenset(queues)
        self.middleware = list(middleware)
        self.worker_defaults: dict[str, Any] = {}
        self.tasks: dict[str, Task[Any, Any]] = {}
        self.timezone = _checked_zone(timezone)
        self._schedule = _checked_schedule(schedule)

    @cached_property
    def store(self) -> Store:
        """The store."""
        return open_store(self.settings)

    @cached_property
    def async_store(self) -> AsyncStore:
        """The same store for event loops."""
        return open_async_store(self.settings)

    @cached_property
    def home(self) -> AppHome:
        """Where its workflows live."""
        return AppHome(self)

    @cached_property
    def schedules(self) -> Schedules:
        """Its schedules: make, change, pause, run and delete them."""
        from .schedules.app_target import AppPlace
        from .schedules.schedules import Schedules

        return Schedules(AppPlace(self))

    def declared_schedules(self) -> Sequence[Definition]:
        """See `Application.declared_schedules`."""
        if not self._schedule:
            return ()
        from .schedules.app_target import AppPlace
        from .schedules.declared import declared

        return declared(AppPlace(self), self._schedule.items())

    @overload
    def task[**P, R](self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task[**P, R](  # pyright: ignore[reportOverlappingOverload]  # callers give no `self`
        self,
        function: None = None,
        /,
        *,
        bind: Literal[True],
        name: str | None = None,
        schedule: Any = None,
        **options: Any,
    ) -> Callable[[Callable[Concatenate[BoundTask, P], R]], Task[P, R]]: ...
    @overload
    def task[**P, R](
        self, function: None = None, /, *, name: str | None = None, schedule: Any = None, **options: Any
    ) -> Callable[[Callable[P, R]], Task[P, R]]: ...
    def task(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        schedule: Any = None,
        **options: Any,
    ) -> Any:
        """Register a function as a task; options as in `TaskOptions`, also by their documented names.

        ``schedule``: a rule by which it is enqueued again and again (`streamtasks.schedules`), or an entry as the app
        takes them, without a task. The schedule has the name of the task.

        Raises:
            InvalidTask: an option is wrong, or the name is taken.
        """

        def register(function: Callable[..., Any]) -> Task[..., Any]:
            task: Task[..., Any] = Task(self, function, name or name_of(function), TaskOptions.documented(options))
            self._add(task, schedule)
            return task

        return register if function is None else register(function)

    def register(self, body: ClassTask, *, schedule: Any = None) -> Task[..., Any]:
        """Register an instance of a class-based task; what is returned is enqueued like any task.

        ``schedule``: as in `task`.

        Raises:
            InvalidTask: its class has no ``run()``, an option is wrong, or the name is taken.
        """
        from .tasks.class_task import InstanceTask

        task = InstanceTask.of(self, body)
        self._add(task, schedule)
        body.task = task
        return task

    def _add(self, task: Task[..., Any], schedule: Any) -> None:
        self._check_queue(task.options.queue)
        if task.name in self.tasks:
            raise InvalidTask(f"A task named {task.name} is registered already; give one of them another name=.")
        if schedule is not None:
            self._declare(task, schedule)
        self.tasks[task.name] = task

    def _declare(self, task: Task[..., Any], schedule: Any) -> None:
        from .schedules.app_target import AppPlace
        from .schedules.declared import check_entry, entry_of

        if task.name in self._schedule:
            raise InvalidTask(f"schedule: the app has a schedule named {task.name!r} already; declare it once.")
        entry = entry_of(task, schedule)
        check_entry(AppPlace(self).call, entry)
        self._schedule[task.name] = entry

    def find(self, name: str) -> Task[Any, Any] | None:
        """See `Application.find`."""
        return self.tasks.get(name)

    def message(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: TaskOptions) -> Message:
        """Return one call as a message, passed through the middleware, not yet enqueued."""
        registered = self.tasks[name].options if name in self.tasks else options
        return self.message_of(name, args, kwargs, options.defaults(registered))

    def message_of(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], call: CallOptions) -> Message:
        """Return one call as a message: ``call`` holds all that is said of it.

        Raises:
            UnknownQueue: the queue is not one of the configured ones.
            InvalidTask: a link leads to another app, or a call names a backend.
        """
        assert call.queue is not None
        self._check_queue(call.queue)
        if call.backend is not None:
            raise InvalidTask(f"backend is {call.backend!r}; only tasks of Django have backends to choose from.")
        for link in (*call.link, *call.link_error):
            if link.origin is not None and link.origin.home(link) is not self.home:
                raise InvalidTask(f"link: {link!r} belongs to another app; what is linked stays in one.")
        message = build(name, args, kwargs, call, self.settings.tags)
        for middleware in self.middleware:
            message = middleware.before_enqueue(message)
        return message

    def enqueue(self, messages: Iterable[Message], run_after: datetime | timedelta | None = None) -> list[Result[Any]]:
        """Enqueue messages in one round trip, in order. See `Task.enqueue` for errors."""
        return self.send(self._packed(messages, run_after))

    async def aenqueue(
        self, messages: Iterable[Message], run_after: datetime | timedelta | None = None
    ) -> list[Result[Any]]:
        """Enqueue messages from an event loop."""
        return await self.asend(self._packed(messages, run_after))

    def send(self, messages: Sequence[NewMessage], patience_s: float | None = None) -> list[Result[Any]]:
        """Enqueue what is encoded already; ``patience_s``: see `Store.enqueue`."""
        self.store.enqueue(messages, patience_s)
        return [Result(self, message.id) for message in messages]

    async def asend(self, messages: Sequence[NewMessage], patience_s: float | None = None) -> list[Result[Any]]:
        """Enqueue what is encoded already from an event loop."""
        await self.async_store.enqueue(messages, patience_s)
        return [Result(self, message.id) for message in messages]

    def _packed(self, messages: Iterable[Message], run_after: datetime | timedelta | None) -> list[NewMessage]:
        call = TaskOptions(run_after=run_after).defaults(TaskOptions())
        return [self._packed_one(message, call) for message in messages]

    def _packed_one(self, message: Message, call: CallOptions) -> NewMessage:
        task = self.tasks.get(message.task)
        limit = None if task is None else task.limit_of(message.args, message.kwargs)
        return pack(message, call, limit, self.settings)

    def get_result(self, task_id: str) -> Result[Any]:
        """Return a handle on an enqueued task; nothing is read yet."""
        return Result(self, task_id)

    def get_group(self, group_id: str) -> GroupResult:
        """Return a handle on an enqueued group, by the id of its result.

        Raises:
            TaskNotFound: nothing is known of it, or it is no group.
        """
        return group_result(self.home, group_id)

    def dead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """Return messages that were given up on, newest first, at most 100; ``before``: a cursor to go on from."""
        return self.store.dead_letters(limit, before)

    async def adead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """Return messages that were given up on, from an event loop; see `dead_letters`."""
        return await self.async_store.dead_letters(limit, before)

    def _check_queue(self, queue: str) -> None:
        if self.queues is not None and queue not in self.queues:
            raise UnknownQueue(f"Queue {queue!r} is not one of the configured ones: {', '.join(sorted(self.queues))}.")


def _checked_schedule(schedule: Mapping[str, Any] | None) -> dict[str, Any]:
    if schedule is not None and not isinstance(schedule, Mapping):
        raise ConfigurationError(f"schedule is {schedule!r}; it must be a dict of entries by the schedules' names.")
    return dict(schedule or {})


def _checked_zone(timezone: str | tzinfo) -> str:
    if timezone == "UTC":
        return "UTC"
    from .schedules.rules import zone_name

    try:
        return zone_name(timezone)
    except InvalidTask as error:
        raise ConfigurationError(f"timezone: {error}") from error
