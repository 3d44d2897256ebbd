"""For tests of code that enqueues tasks: keep them in memory, look at them, run them.

::

    with memory_tasks(app) as tasks:
        place_order(7)
        tasks.assert_enqueued(send_receipt, args=[7], queue="mail")
        tasks.run_until_idle()

With pytest, the fixture ``streamtasks_memory`` does the same. For Django: `streamtasks_django.testing`.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from streamtasks.app import StreamTasks
from streamtasks.exceptions import ConfigurationError, DecodeError
from streamtasks.protocol.json import dumps, loads
from streamtasks.protocol.message import Message
from streamtasks.protocol.wire import Wire
from streamtasks.stores.memory import MemoryServer
from streamtasks.stores.types import NewMessage

from .in_process import MOST_ATTEMPTS, InProcessWorker, Ran

__all__ = ["Enqueued", "KeptTasks", "MemoryTasks", "TaskOutbox", "at_url", "memory_tasks"]

_number = itertools.count(1)
_LISTED: Final = 50


@dataclass(frozen=True, slots=True)
class Enqueued:
    """One call that was enqueued, in the order of enqueueing.

    Attributes:
        id: of the task.
        task: its registered name.
        args, kwargs: what a worker gets: the arguments after their way through JSON.
        queue, priority: where it was put.
        delay_s: how long it is delayed, seconds from when it was enqueued; 0: not at all.
        message: the whole envelope: headers, links, limits.
    """

    id: str
    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    queue: str
    priority: int
    delay_s: float
    message: Message

    def __str__(self) -> str:
        words = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        later = f", in {self.delay_s:g} s" if self.delay_s else ""
        return f"{self.task}({', '.join(words)}) in queue {self.queue!r}, priority {self.priority}{later}"


class TaskOutbox(list[Enqueued]):
    """What was enqueued, in the manner of ``mail.outbox``: a list, emptied with ``clear()``."""

    def calls_of(self, task: Any) -> list[Enqueued]:
        """Return the calls of one task: a task object, or its registered name."""
        name = _name_of(task)
        return [call for call in self if call.task == name]

    def assert_enqueued(
        self,
        task: Any,
        *,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        queue: str | None = None,
        priority: int | None = None,
        count: int | None = None,
    ) -> list[Enqueued]:
        """Check that a task was enqueued; what is left out may be anything.

        Args:
            task: a task object, or its registered name.
            args: exactly these positional arguments.
            kwargs: exactly these keyword arguments.
            queue: the queue's name.
            priority: -100 to 100.
            count: exactly so often; None: at least once.

        Returns:
            The calls that match.

        Raises:
            AssertionError: it was not, or not so often; the message lists what was enqueued.
        """
        wanted: dict[str, Any] = {
            "args": None if args is None else _as_sent(list(args)),
            "kwargs": None if kwargs is None else _as_sent(dict(kwargs)),
            "queue": queue,
            "priority": priority,
        }
        wanted = {name: value for name, value in wanted.items() if value is not None}
        found = [c for c in self.calls_of(task) if all(getattr(c, name) == value for name, value in wanted.items())]
        if len(found) == count or (count is None and found):
            return found
        often = "at least one call" if count is None else "1 call" if count == 1 else f"{count} calls"
        details = "".join(f", {name}={value!r}" for name, value in wanted.items())
        raise AssertionError(f"Expected {often} of {_name_of(task)}{details}; found {len(found)}.\n{self.listed()}")

    def assert_nothing_enqueued(self) -> None:
        """Check that nothing was enqueued.

        Raises:
            AssertionError: something was; the message lists it.
        """
        if self:
            raise AssertionError(f"Expected nothing to be enqueued.\n{self.listed()}")

    def listed(self) -> str:
        """Return what was enqueued as text, a line each."""
        if not self:
            return "Nothing was enqueued."
        lines = [f"  {call}" for call in self[:_LISTED]]
        if len(self) > _LISTED:
            lines.append(f"  and {len(self) - _LISTED} more")
        head = "1 call was enqueued:" if len(self) == 1 else f"{len(self)} calls were enqueued:"
        return "\n".join([head, *lines])

    def capture(self, server: MemoryServer, wires: Iterable[Wire]) -> None:
        """Keep each message that a server accepts from now on, written in one of these wires."""
        ways = tuple(wires)

        def keep(new: NewMessage) -> None:
            message = _decoded(new, ways)
            delay_s = (new.delay_ms or 0) / 1000
            if new.due_ms is not None:
                delay_s = max(0.0, (new.due_ms - server.clock.now_ms()) / 1000)
            self.append(
                Enqueued(
                    message.id,
                    message.task,
                    message.args,
                    message.kwargs,
                    message.queue,
                    message.priority,
                    delay_s,
                    message,
                )
            )

        server.captures.append(keep)


class KeptTasks(ABC):
    """Tasks while they are kept in memory.

    Attributes:
        outbox: what was enqueued; see `TaskOutbox`.
        server: what holds it all.
    """

    def __init__(self, server: MemoryServer, wires: Iterable[Wire]) -> None:
        self.server = server
        self.outbox = TaskOutbox()
        self.outbox.capture(server, wires)

    @abstractmethod
    def worker(self) -> InProcessWorker:
        """Return who runs them."""

    def run_until_idle(self, *, most: int = MOST_ATTEMPTS) -> list[Ran]:
        """Run all tasks here and now, and what they bring; the clock jumps to what is due later.

        Args:
            most: attempts that may be run, all tasks together.

        Returns:
            Each attempt that was run, in order: ``(id, task, attempt, state)``.

        Raises:
            NeverIdle: there is more to run after ``most`` attempts.
        """
        return self.worker().run_until_idle(most=most)

    async def arun_until_idle(self, *, most: int = MOST_ATTEMPTS) -> list[Ran]:
        """Run all tasks from an asynchronous test; see `run_until_idle`."""
        return await self.worker().arun_until_idle(most=most)

    def run_ready(self) -> list[Ran]:
        """Run what can be run now, and what that brings, and leave what is due later."""
        return self.worker().run_ready()

    def advance(self, seconds: float) -> None:
        """Move the clock by which tasks are due."""
        self.server.clock.advance(seconds)

    def assert_enqueued(self, task: Any, **expected: Any) -> list[Enqueued]:
        """Check that a task was enqueued; see `TaskOutbox.assert_enqueued`."""
        return self.outbox.assert_enqueued(task, **expected)

    def assert_nothing_enqueued(self) -> None:
        """Check that nothing was enqueued."""
        self.outbox.assert_nothing_enqueued()

    def clear(self) -> None:
        """Forget all tasks and results, and what was enqueued."""
        self.server.flush()
        self.outbox.clear()


class MemoryTasks(KeptTasks):
    """The tasks of one app while they are kept in memory."""

    def __init__(self, app: StreamTasks) -> None:
        super().__init__(MemoryServer.at(app.settings.url), [app.settings.wire])
        self.app = app
        self._worker = InProcessWorker(app)

    def worker(self) -> InProcessWorker:
        """See `KeptTasks.worker`."""
        return self._worker


@contextmanager
def memory_tasks(app: StreamTasks, *, max_tasks: int | None = None) -> Generator[MemoryTasks]:
    """Keep the tasks of an app in memory for a while; nothing runs them but `MemoryTasks.run_until_idle`.

    Args:
        app: any, also one with a server: it is not asked meanwhile.
        max_tasks: most unfinished tasks; None: any number.
    """
    bound = "" if max_tasks is None else f"?max_tasks={max_tasks}"
    url = f"memory://test-{next(_number)}{bound}"
    with ExitStack() as stack:
        stack.callback(MemoryServer.discard, url)
        stack.enter_context(at_url(app, url))
        yield MemoryTasks(app)


@contextmanager
def at_url(app: StreamTasks, url: str) -> Generator[None]:
    """Let an app use another store for a while.

    Raises:
        ConfigurationError: it is no `StreamTasks`.
    """
    if not isinstance(app, StreamTasks):
        raise ConfigurationError(f"app is {app!r}; it must be a StreamTasks. For Django: streamtasks_django.testing.")
    owner = app.owner
    before = owner.settings, owner.store, owner.async_store
    owner.use(replace(owner.settings, url=url, connection={}))
    try:
        yield
    finally:
        owner.settings, owner.store, owner.async_store = before


def _decoded(new: NewMessage, wires: Sequence[Wire]) -> Message:
    for wire in wires[:-1]:
        try:
            return Message.decode(new.envelope, wire, new.id)
        except DecodeError:
            continue  # it was written for another app
    return Message.decode(new.envelope, wires[-1], new.id)


def _as_sent(value: Any) -> Any:
    return loads(dumps(value))


def _name_of(task: Any) -> str:
    if isinstance(task, str):
        return task
    for attribute in ("module_path", "name"):
        name = getattr(task, attribute, None)
        if isinstance(name, str):
            return name
    raise TypeError(f"{task!r} is no task; give a task object, or the registered name of one.")
