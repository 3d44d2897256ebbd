"""An app: tasks, the store they are enqueued to, and middleware. For plain Python; Django builds its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, overload

from .exceptions import InvalidTask, UnknownQueue
from .message import Message
from .middleware import Middleware
from .results import Result
from .settings import DEFAULT_URL, StoreSettings
from .shards import new_id
from .state import DeadLetter
from .store import AsyncStore, Store
from .stores import open_async_store, open_store
from .task import Task, TaskOptions, name_of, new_message

__all__ = ["StreamTasks"]


class StreamTasks:
    """Tasks and where they go.

    Args:
        url: the server, ``redis://[user:password@]host:port/db``.
        queues: the queues that may be used; None: any.
        middleware: see `Middleware`; the first is outermost.
        label: how logs name this app.
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
        **settings: Any,
    ) -> None:
        self.label = label
        self.settings = StoreSettings(url=url, **settings)
        self.queues = None if queues is None else frozenset(queues)
        self.middleware = list(middleware)
        self.worker_defaults: dict[str, Any] = {}
        self.tasks: dict[str, Task[Any, Any]] = {}

    @cached_property
    def store(self) -> Store:
        """The store."""
        return open_store(self.settings)

    @cached_property
    def async_store(self) -> AsyncStore:
        """The same store for event loops."""
        return open_async_store(self.settings)

    @overload
    def task[**P, R](self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task[**P, R](
        self, function: None = None, /, *, name: str | None = None, **options: Any
    ) -> Callable[[Callable[P, R]], Task[P, R]]: ...
    def task[**P, R](
        self, function: Callable[P, R] | None = None, /, *, name: str | None = None, **options: Any
    ) -> Any:
        """Register a function as a task; options as in `TaskOptions`.

        Raises:
            InvalidTask: an option is wrong, or the name is taken.
        """

        def register(function: Callable[P, R]) -> Task[P, R]:
            try:
                task = Task(self, function, name or name_of(function), TaskOptions(**options))
            except TypeError as error:
                raise InvalidTask(f"task(): {error}") from error
            self._check_queue(task.options.queue)
            if task.name in self.tasks:
                raise InvalidTask(f"A task named {task.name} is registered already; give one of them another name=.")
            self.tasks[task.name] = task
            return task

        return register if function is None else register(function)

    def find(self, name: str) -> Task[Any, Any] | None:
        """See `Application.find`."""
        return self.tasks.get(name)

    def message(self, name: str, args: Sequence[Any], kwargs: dict[str, Any], options: TaskOptions) -> Message:
        """Return one call as a message, passed through the middleware, not yet enqueued."""
        self._check_queue(options.queue)
        registered = self.tasks[name].options if name in self.tasks else options
        message = Message(
            id=new_id(self.settings.tags),
            task=name,
            args=list(args),
            kwargs=dict(kwargs),
            queue=options.queue,
            priority=options.priority,
            # Only what differs from the task's own travels: those may change with a release while messages wait.
            max_retries=_call_retries(options.max_retries) if options.max_retries != registered.max_retries else None,
            retry_delay_s=options.retry_delay_s if options.retry_delay_s != registered.retry_delay_s else None,
            expires_ms=0 if options.expires_s is None else round((time.time() + options.expires_s) * 1000),
        )
        for middleware in self.middleware:
            message = middleware.before_enqueue(message)
        return message

    def enqueue(self, messages: Iterable[Message], run_after: datetime | timedelta | None = None) -> list[Result[Any]]:
        """Enqueue messages in one round trip, in order. See `Task.enqueue` for errors."""
        new = [new_message(message, run_after, self.settings.max_payload_bytes) for message in messages]
        self.store.enqueue(new)
        return [Result(self, message.id) for message in new]

    async def aenqueue(
        self, messages: Iterable[Message], run_after: datetime | timedelta | None = None
    ) -> list[Result[Any]]:
        """Enqueue messages from an event loop."""
        new = [new_message(message, run_after, self.settings.max_payload_bytes) for message in messages]
        await self.async_store.enqueue(new)
        return [Result(self, message.id) for message in new]

    def get_result(self, task_id: str) -> Result[Any]:
        """Return a handle on an enqueued task; nothing is read yet."""
        return Result(self, task_id)

    def dead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """Return messages that were given up on, newest first, at most 100; ``before``: a cursor to go on from."""
        return self.store.dead_letters(limit, before)

    def _check_queue(self, queue: str) -> None:
        if self.queues is not None and queue not in self.queues:
            raise UnknownQueue(f"Queue {queue!r} is not one of the configured ones: {', '.join(sorted(self.queues))}.")


def _call_retries(most: int | None) -> int:
    return -1 if most is None else most
