"""How a worker runs a task: retries and time limits. What the task's definition says; a call may say otherwise."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ..exceptions import InvalidTask
from ..protocol.validation import check_count, check_seconds

__all__ = ["INLINE", "RunOptions", "check_exceptions", "check_executor"]

INLINE: Final = "inline"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How attempts of a task are run.

    Attributes:
        max_retries: how often it may be run again after asking for it; None: without end.
        retry_delay_s: seconds before a retry that names no delay.
        autoretry_for: exceptions that ask for a retry by themselves.
        dont_autoretry_for: of those, the ones that do not.
        retry_backoff_s: delay before the first automatic retry, doubled each time, seconds; 0: ``retry_delay_s``.
        retry_backoff_max_s: longest of these delays, seconds.
        retry_jitter: whether each of them is a random part of itself.
        soft_time_limit_s: `SoftTimeLimitExceeded` is raised in an attempt after so long, seconds; None: never.
        time_limit_s: an attempt is ended for certain after so long, seconds; None: never.
        executor: ``"inline"``: it runs alone in its child, on the main thread, whatever executor that child has; None:
            as the worker runs all.
        has_hooks: it has hooks, so that its outcomes are settled one by one.
    """

    max_retries: int | None = 3
    retry_delay_s: float = 60.0
    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    retry_backoff_s: float = 0.0
    retry_backoff_max_s: float = 600.0
    retry_jitter: bool = True
    soft_time_limit_s: float | None = None
    time_limit_s: float | None = None
    executor: str | None = None
    has_hooks: bool = False

    def __post_init__(self) -> None:
        if self.max_retries is not None:
            check_count("max_retries", self.max_retries, InvalidTask, least=0)
        for name in ("retry_delay_s", "retry_backoff_s", "retry_backoff_max_s"):
            check_seconds(name, getattr(self, name), InvalidTask, above_zero=False)
        for name in ("soft_time_limit_s", "time_limit_s"):
            if getattr(self, name) is not None:
                check_seconds(name, getattr(self, name), InvalidTask)
        soft_s, hard_s = self.soft_time_limit_s, self.time_limit_s
        if soft_s is not None and hard_s is not None and soft_s >= hard_s:
            raise InvalidTask(
                f"soft_time_limit is {soft_s:g} s and time_limit {hard_s:g} s; the soft one must come first."
            )
        for name in ("autoretry_for", "dont_autoretry_for"):
            check_exceptions(name, getattr(self, name))
        if self.executor not in (None, INLINE):
            raise InvalidTask(
                f"executor is {self.executor!r}; it must be {INLINE!r} (alone in its child, so that a time limit ends "
                "it for certain), or None (as the worker runs all)."
            )

    def retries_by_itself(self, error: BaseException) -> bool:
        """Whether this error asks for a retry by itself."""
        return isinstance(error, self.autoretry_for) and not isinstance(error, self.dont_autoretry_for)

    def automatic_delay_s(self, retries: int) -> float:
        """Return the delay before the automatic retry that follows ``retries`` earlier ones, seconds."""
        if not self.retry_backoff_s:
            return self.retry_delay_s
        delay_s = min(self.retry_backoff_s * 2 ** min(retries, 60), self.retry_backoff_max_s)
        return random.uniform(0, delay_s) if self.retry_jitter else delay_s  # noqa: S311 - jitter


def check_executor(executor: Any, function: Callable[..., Any]) -> None:
    """Raise `InvalidTask` if a function cannot run as its task's ``executor`` says."""
    if executor == INLINE and inspect.iscoroutinefunction(function):
        raise InvalidTask(
            f"executor is {INLINE!r}, but {function.__qualname__} is a coroutine function, which runs on an event loop "
            "beside others; make it a plain function (asyncio.run() works in it), or leave executor out."
        )


def check_exceptions(name: str, value: Any) -> None:
    """Raise `InvalidTask` unless ``value`` is a tuple of exception classes."""
    if not isinstance(value, tuple) or not all(isinstance(e, type) and issubclass(e, BaseException) for e in value):
        raise InvalidTask(f"{name} is {value!r}; it must be exception classes, for example ({name}=(OSError,)).")
