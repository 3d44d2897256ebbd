"""Middleware: the extension point for tracing, database connections, translation and the like."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack, asynccontextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from ..protocol.message import Message
from .attempt import Attempt, AttemptOutcome

__all__ = [
    "MOST_FOLLOWED",
    "BuiltWorkflow",
    "Middleware",
    "around_enqueue_many",
    "as_async",
    "built_workflow",
    "listens_to_ends",
    "overrides",
]

MOST_FOLLOWED: Final = 32
"""Of so many tasks that a task follows its middleware is told."""


@dataclass(slots=True)
class BuiltWorkflow:
    """A workflow whose messages are being made; those that others follow come first.

    Attributes:
        follows: ids of the tasks that the message which is made now waits for, if they are a group; the first
            `MOST_FOLLOWED` of them.
        notes: what middleware keeps until all messages are made.
    """

    follows: Sequence[str] = ()
    notes: dict[str, Any] = field(default_factory=dict)


built_workflow: Final[ContextVar[BuiltWorkflow | None]] = ContextVar("streamtasks_built_workflow", default=None)
"""For `Middleware.before_enqueue`: the workflow to which the message belongs; None: to none."""


class Middleware:
    """Base of middleware: override the methods you need. The first of an app's ``middleware`` is outermost.

    The asynchronous twins are used for coroutine tasks; by default they call the plain ones.
    """

    def before_enqueue(self, message: Message) -> Message:
        """Return the message to enqueue: the same, or one with other headers. Errors reach the caller.

        Called for schedules that are created at run time, once; not for those that code or settings declare.
        """
        return message

    def around_enqueue_many(self) -> AbstractContextManager[object]:
        """Return a context for calls that are enqueued together; `before_enqueue` is called in it for each."""
        return nullcontext()

    def around_run(self, attempt: Attempt) -> AbstractContextManager[None]:  # noqa: ARG002
        """Return a context for one attempt, entered on the thread that runs it.

        An error while it is entered fails the attempt, as an error of the task would.
        """
        return nullcontext()

    def around_run_async(self, attempt: Attempt) -> AbstractAsyncContextManager[None]:
        """Return a context for one attempt of a coroutine task."""
        return as_async(self.around_run(attempt))

    def after_outcome(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """Handle an outcome in the child before it is committed, inside the ``except`` block of a failure.

        Called at least once per outcome; twice only if the child is killed before the commit. Errors are
        logged and change nothing.
        """

    async def after_outcome_async(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """Handle the outcome of a coroutine task before it is committed."""
        self.after_outcome(attempt, outcome)

    def in_child(self) -> AbstractContextManager[None]:
        """Return a context for the whole life of a child process, entered after the fork."""
        return nullcontext()


def around_enqueue_many(middleware: Iterable[Middleware]) -> AbstractContextManager[object]:
    """Return the context of all middleware for calls that are enqueued together; it is entered already."""
    with ExitStack() as stack:
        for one in middleware:
            stack.enter_context(one.around_enqueue_many())
        return stack.pop_all()


def overrides(middleware: Middleware, *names: str) -> bool:
    """Return whether a middleware has any of these methods of its own."""
    return any(getattr(type(middleware), name) is not getattr(Middleware, name) for name in names)


def listens_to_ends(middleware: Iterable[Middleware]) -> bool:
    """Return whether any of these is called with outcomes."""
    return any(overrides(one, "after_outcome", "after_outcome_async") for one in middleware)


@asynccontextmanager
async def as_async(plain: AbstractContextManager[None]) -> AsyncGenerator[None]:
    """Return a context for coroutines that enters and leaves a plain one."""
    with plain:
        yield
