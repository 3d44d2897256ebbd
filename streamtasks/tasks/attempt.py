"""An attempt: one started execution of a message, as the task and middleware see it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from ..exceptions import InvalidTask, StreamTasksError
from ..protocol.message import Message
from ..protocol.running_attempt import RUNNING
from ..protocol.state import State, encode_progress

__all__ = [
    "Attempt",
    "AttemptOutcome",
    "current_attempt",
    "enter_attempt",
    "entered",
    "running_attempt",
]

_current: Final[ContextVar[Attempt | None]] = RUNNING


def current_attempt() -> Attempt:
    """Return the attempt that runs here.

    Raises:
        StreamTasksError: no task is running here.
    """
    attempt = _current.get()
    if attempt is None:
        raise StreamTasksError("No task is running here: current_attempt() works inside a task that a worker runs.")
    return attempt


running_attempt: Final[Callable[[], Attempt | None]] = _current.get
"""Return the attempt that runs here, None if there is none."""


@contextmanager
def entered(attempt: Attempt) -> Generator[None]:
    """Return a context in which an attempt is the current one; for tasks that run in the process that enqueues them."""
    token = _current.set(attempt)
    try:
        yield
    finally:
        _current.reset(token)


def enter_attempt(attempt: Attempt) -> None:
    """Make an attempt the current one of this context."""
    _current.set(attempt)


def _nowhere(data: bytes) -> None:
    """Drop the progress of an attempt that runs without a worker."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One started execution.

    Attributes:
        message: what was enqueued.
        number: 1 for the first attempt.
        worker: the consumer's name, unique to this child for ever.
        enqueued_ms: when the message was accepted, ms since the epoch by the store's clock.
        started_ms: when this attempt started, likewise.
        first_started_ms: when the first attempt started, likewise.
        report: sends progress (set by the worker).
        retries: how often the message was retried before.
    """

    message: Message
    number: int
    worker: str
    enqueued_ms: int
    started_ms: int
    first_started_ms: int
    report: Callable[[bytes], object] = _nowhere
    retries: int = 0

    @property
    def id(self) -> str:
        """The message's id."""
        return self.message.id

    def set_progress(self, **info: Any) -> None:
        """Show the task's progress. The last call counts; it is cheap enough to be called for every item.

        Raises:
            InvalidTask: JSON cannot carry a value.
        """
        self.report(encode_progress(State.PROGRESS, info))

    def update_state(self, state: str = State.PROGRESS, meta: Any = None) -> None:
        """Show a state and progress.

        Args:
            state: any word, shown as `state` while this attempt runs; it never counts as finished.
            meta: shown as ``info`` and ``progress``; JSON.

        Raises:
            InvalidTask: ``state`` is no text, or JSON cannot carry ``meta``.
        """
        if not isinstance(state, str) or not state:
            raise InvalidTask(f"state is {state!r}; it must be a text such as 'PROGRESS'.")
        self.report(encode_progress(state, meta))


@dataclass(slots=True, eq=False)
class AttemptOutcome:
    """How an attempt ended, before it is committed.

    Attributes:
        state: SUCCESS, FAILURE, IGNORED, EXPIRED, REVOKED, DEAD, or RETRY.
        value: what the task returned, if SUCCESS.
        error: what it raised, otherwise (None for an expired one).
        traceback: the error's traceback as text.
        delay_s: seconds until the next attempt, if RETRY.
    """

    state: State
    value: Any = None
    error: BaseException | None = None
    traceback: str = ""
    delay_s: float = 0.0
