"""A task: a function, the name it is registered under, and how its calls are enqueued."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .attempt import Attempt, AttemptOutcome
from .exceptions import InvalidTask
from .keys import check_queue
from .message import Message
from .numbers import check_count, check_seconds
from .run_options import RunOptions
from .transitions import NewMessage

if TYPE_CHECKING:
    from .app import StreamTasks
    from .results import Result

__all__ = ["Task", "TaskOptions", "name_of", "new_message"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions(RunOptions):
    """How calls of a task are enqueued and run; the attributes of `RunOptions`, and these.

    Attributes:
        queue: the queue's name.
        priority: -100 (last) to 100 (first).
        run_after: not before this time (an aware datetime), or after this long (a timedelta).
        expires_s: not to be started later than this after it was enqueued, seconds.
    """

    queue: str = "default"
    priority: int = 0
    run_after: datetime | timedelta | None = None
    expires_s: float | None = None

    def __post_init__(self) -> None:
        RunOptions.__post_init__(self)  # a bare super() fails in a dataclass with slots
        check_queue(self.queue)
        check_count("priority", self.priority, InvalidTask, least=-100, most=100)
        if self.expires_s is not None:
            check_seconds("expires_s", self.expires_s, InvalidTask)
        if self.run_after is not None and not isinstance(self.run_after, (datetime, timedelta)):
            raise InvalidTask(f"run_after is {self.run_after!r}; it must be an aware datetime or a timedelta.")
        if isinstance(self.run_after, datetime) and self.run_after.tzinfo is None:
            raise InvalidTask(f"run_after is {self.run_after!r}; give it a time zone.")


def name_of(function: Callable[..., Any]) -> str:
    """Return the name a function is registered under: its module's and its own.

    A function of the script that runs gets the name the script has when it is imported.
    """
    module = function.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        module = spec.name if spec is not None else Path(getattr(main, "__file__", "__main__")).stem
    return f"{module}.{function.__qualname__}"


def new_message(message: Message, run_after: datetime | timedelta | None, max_bytes: int) -> NewMessage:
    """Encode a message for the store."""
    due_ms = delay_ms = None
    if isinstance(run_after, timedelta):
        delay_ms = max(0, math.ceil(run_after.total_seconds() * 1000))
    elif run_after is not None:
        due_ms = max(0, math.ceil(run_after.timestamp() * 1000))  # never early, not even by a part of a ms
    return NewMessage(message.id, message.queue, message.priority, message.encode(max_bytes), due_ms, delay_ms)


class Task[**P, R]:
    """A registered function. Call it to run it here; `enqueue` to run it in a worker."""

    def __init__(self, app: StreamTasks, function: Callable[P, R], name: str, options: TaskOptions) -> None:
        self.app = app
        self.function = function
        self.name = name
        self.options = options
        self.is_async = inspect.iscoroutinefunction(function)
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    @property
    def run_options(self) -> RunOptions:
        """See `Runnable`."""
        return self.options

    def run(self, attempt: Attempt) -> Any:
        """See `Runnable.run`."""
        function: Callable[..., Any] = self.function
        return function(*attempt.message.args, **attempt.message.kwargs)

    def before_start(self, attempt: Attempt) -> None:
        """See `Runnable.before_start`; a function has no hooks."""

    def after(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """See `Runnable.after`."""

    def using(self, **options: Any) -> Task[P, R]:
        """Return the same task with other options (see `TaskOptions`).

        Raises:
            InvalidTask: an option is wrong.
        """
        try:
            return Task(self.app, self.function, self.name, replace(self.options, **options))
        except TypeError as error:
            raise InvalidTask(f"using(): {error}") from error

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Result[R]:
        """Enqueue one call; return a handle on its result.

        Raises:
            InvalidTask: JSON cannot carry an argument.
            PayloadTooLarge: the call takes more than ``max_payload_bytes``.
            StoreUnavailable: no answer from the store in ``timeout_s``.
            StoreFull: the server is out of memory.
        """
        return self.app.enqueue([self.message(args, kwargs)], self.options.run_after)[0]

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Result[R]:
        """Enqueue one call from an event loop; see `enqueue`."""
        return (await self.app.aenqueue([self.message(args, kwargs)], self.options.run_after))[0]

    def enqueue_many(self, calls: Iterable[tuple[Any, ...] | dict[str, Any]]) -> list[Result[R]]:
        """Enqueue many calls in one round trip, in order: a tuple of arguments or a dict of keyword arguments each."""
        messages = [
            self.message((), call) if isinstance(call, dict) else self.message(tuple(call), {}) for call in calls
        ]
        return self.app.enqueue(messages, self.options.run_after)

    def message(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Message:
        """Return one call as a message, not yet enqueued."""
        options = self.options
        return self.app.message(self.name, args, kwargs, options)
