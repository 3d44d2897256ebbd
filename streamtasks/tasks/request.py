"""The ``self`` of a bound task (``bind=True``): its request, retries and progress."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

from ..exceptions import InvalidTask, RetriesExhausted, Retry
from ..protocol.message import Message
from ..protocol.state import State
from ..protocol.validation import check_count, check_seconds
from .attempt import Attempt, running_attempt
from .options import seconds
from .run_options import RunOptions
from .unset import UNSET

__all__ = ["BoundTask", "Request", "RunningTask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The call that is running.

    Attributes:
        id: the message's id; empty if the function was called directly.
        task: the registered name of the task.
        args, kwargs: its arguments.
        queue: the queue's name.
        priority: -100 (last) to 100 (first).
        retries: how often it was retried before; 0 in the first attempt.
        attempt: 1 for the first attempt; attempts that ended with their worker count too.
        eta: when it was to start at the earliest (UTC), None: at once.
        expires: when it was to have started (UTC), None: any time.
        parent_id, root_id: the task that enqueued it, or that it follows, and the first of that line; None: none.
        headers: JSON values that travel with the message.
        hostname: the child that runs it.
        called_directly: no worker runs it: ``update_state()`` shows nothing, and ``retry()`` raises the error.
        max_retries: most retries of this call; None: without end, `UNSET`: the task's own apply.
    """

    id: str = ""
    task: str = ""
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    queue: str = "default"
    priority: int = 0
    retries: int = 0
    attempt: int = 1
    eta: datetime | None = None
    expires: datetime | None = None
    parent_id: str | None = None
    root_id: str | None = None
    headers: dict[str, Any] = field(default_factory=dict)
    hostname: str = ""
    called_directly: bool = True
    max_retries: Any = UNSET

    @classmethod
    def of(cls, attempt: Attempt) -> Request:
        """Return the request of an attempt."""
        message = attempt.message
        most = message.max_retries
        return cls(
            id=message.id,
            task=message.task,
            args=message.args,
            kwargs=message.kwargs,
            queue=message.queue,
            priority=message.priority,
            retries=attempt.retries,
            attempt=attempt.number,
            eta=_moment(message.due_ms),
            expires=_moment(message.expires_ms),
            parent_id=message.parent_id or None,
            root_id=message.root_id or message.id,
            headers=message.headers,
            hostname=attempt.worker,
            called_directly=False,
            max_retries=UNSET if most is None else most if most >= 0 else None,
        )

    @classmethod
    def here(cls, task: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request:
        """Return the request of the attempt that runs here, or that of a direct call."""
        attempt = running_attempt()
        if attempt is not None and attempt.message.task == task:
            return cls.of(attempt)
        return cls(task=task, args=list(args), kwargs=kwargs)

    @property
    def delivery_info(self) -> dict[str, Any]:
        """Where it came from: ``queue``, ``priority``, and whether it was started before (``redelivered``)."""
        return {"queue": self.queue, "priority": self.priority, "redelivered": self.attempt > self.retries + 1}


def _moment(ms: int) -> datetime | None:
    return datetime.fromtimestamp(ms / 1000, UTC) if ms else None


def _retry(
    request: Request,
    own: RunOptions,
    *,
    exc: BaseException | None = None,
    countdown: float | timedelta | None = None,
    eta: datetime | None = None,
    max_retries: int | None = UNSET,
    throw: bool = True,
) -> Retry:
    """Raise `Retry`, or return it; ``own``: the task's options. See `RunningTask.retry`."""
    if countdown is not None and eta is not None:
        raise InvalidTask(f"countdown is {countdown!r} and eta is {eta!r}; give one of them.")
    delay_s: float | None = None
    if countdown is not None:
        delay_s = seconds(countdown)
        check_seconds("countdown", delay_s, InvalidTask, above_zero=False)
    elif eta is not None:
        if not isinstance(eta, datetime):
            raise InvalidTask(f"eta is {eta!r}; it must be a datetime.")
        delay_s = max(0.0, eta.timestamp() - time.time())
    if max_retries is not UNSET and max_retries is not None:
        check_count("max_retries", max_retries, InvalidTask, least=0)
    reason = exc if exc is not None else sys.exception()
    most = next((one for one in (max_retries, request.max_retries) if one is not UNSET), own.max_retries)
    if request.called_directly or (most is not None and request.retries >= most):
        _raise_exhausted(request, reason, most)
    error = Retry(
        "" if reason is None else f"{type(reason).__name__}: {reason}",
        delay_s=delay_s,
        exc=reason,
        max_retries=None if max_retries is UNSET else -1 if max_retries is None else max_retries,
    )
    if not throw:
        error.__cause__ = reason
        return error
    raise error from reason


def _raise_exhausted(request: Request, reason: BaseException | None, most: int | None) -> NoReturn:
    if isinstance(reason, BaseException):
        raise reason
    if request.called_directly:
        raise Retry(f"{request.task} was called directly: there is no worker that could run it again.")
    raise RetriesExhausted(f"Task {request.id} ({request.task}) has been retried {most} times, which is all it may be.")


class RunningTask:
    """The methods of a running task, a function or a class: retry it and show its progress."""

    __slots__ = ()

    request: Request

    def _run_options(self) -> RunOptions:
        raise NotImplementedError

    def retry(
        self,
        exc: BaseException | None = None,
        *,
        countdown: float | timedelta | None = None,
        eta: datetime | None = None,
        max_retries: int | None = UNSET,
        throw: bool = True,
    ) -> Retry:
        """Retry the task. The method raises; ``raise self.retry(...)`` makes that visible.

        Args:
            exc: the reason; by default the exception that is being handled.
            countdown: not before so many seconds from now; by default the task's own delay.
            eta: not before this time; a naive one is local time.
            max_retries: most retries, instead of the task's or the call's; None: without end.
            throw: False: the `Retry` is returned and not raised.

        Raises:
            Retry: the worker runs the task again.
            Exception: ``exc``, if no retries are left or no worker runs the task; `RetriesExhausted` without one.
            InvalidTask: an argument is wrong.
        """
        return _retry(
            self.request,
            self._run_options(),
            exc=exc,
            countdown=countdown,
            eta=eta,
            max_retries=max_retries,
            throw=throw,
        )

    def update_state(self, state: str = State.PROGRESS, meta: Any = None) -> None:
        """Show a state and progress; see `Attempt.update_state`."""
        _update_state(self.request, state, meta)


class BoundTask(RunningTask):
    """The first argument of a function with ``bind=True``: one object per attempt.

    It has all attributes of the task, too (``name``, ``delay()``, ``s()``, options).

    Attributes:
        request: the call that runs.
    """

    def __init__(self, task: Any, request: Request, own: RunOptions) -> None:
        self._task = task
        self._own = own
        self.request = request

    def __getattr__(self, name: str) -> Any:
        if name in ("_task", "_own", "request"):  # an instance that is being copied
            raise AttributeError(name)
        return getattr(self._task, name)

    def __repr__(self) -> str:
        return f"<bound {self._task!r}>"

    @property
    def max_retries(self) -> int | None:
        """Most retries of the task's definition; None: without end."""
        return self._own.max_retries

    @property
    def default_retry_delay(self) -> float:
        """Delay of a retry that gives none, seconds, from the task's definition."""
        return self._own.retry_delay_s

    def _run_options(self) -> RunOptions:
        return self._own


def _update_state(request: Request, state: str, meta: Any) -> None:
    """Show progress of the running attempt; of a direct call it is only checked."""
    attempt = None if request.called_directly else running_attempt()
    (attempt or _NOBODY).update_state(state, meta)


_NOBODY: Final = Attempt(Message(id="-", task="-"), 1, "", 0, 0, 0)
