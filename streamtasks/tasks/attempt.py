"""An attempt: one started execution of a message, as the task and middleware see it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from ..exceptions import ClaimLost, InvalidTask, StreamTasksError
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


def _keep_nowhere(headers: Mapping[str, Any]) -> bool:  # noqa: ARG001
    """Keep the headers of an attempt that runs without a worker in this process only."""
    return True


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
        keep_headers: stores other headers; False: the claim was lost (set by the worker).
        lines: keeps what it logs and prints (set by the worker when there is some).
    """

    message: Message
    number: int
    worker: str
    enqueued_ms: int
    started_ms: int
    first_started_ms: int
    report: Callable[[bytes], object] = _nowhere
    retries: int = 0
    keep_headers: Callable[[Mapping[str, Any]], bool] = _keep_nowhere
    lines: Any = None

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

    def save_headers(self, headers: Mapping[str, Any]) -> None:
        """Replace the message's headers, for this attempt and all later ones; readers of the task see them at once.

        It is one round trip, so that it can be refused.

        Raises:
            ClaimLost: another worker has the message by now.
            InvalidTask: JSON cannot carry a header; `PayloadTooLarge`: they take more than 16 KiB.
            StoreUnavailable: no answer until the deadline; the same call may be repeated.
        """
        headers = dict(headers)
        if not self.keep_headers(headers):
            raise ClaimLost(
                f"Task {self.id} was given to another worker, because this one was silent for longer than its lease: "
                "nothing was stored."
            )
        self.message.headers = headers

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
