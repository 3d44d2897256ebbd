"""How attempts of a task are run: retries, time limits, executor."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from ..exceptions import InvalidTask
from ..protocol.jitter import RANDOM
from . import options
from .options import check_limit_order, check_options, option

__all__ = ["INLINE", "DelayOf", "RunOptions", "check_executor"]

INLINE: Final = "inline"

type DelayOf = Callable[[BaseException, Any], float | timedelta | None]
"""Called with an error and its attempt, returns the delay before the retry, None: there is none."""


def _executor(name: str, value: Any) -> None:
    if value != INLINE:
        raise InvalidTask(
            f"{name} is {value!r}; it must be {INLINE!r} (alone in its child, so that a time limit ends it for "
            "certain), or None (as the worker runs all)."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How attempts of a task are run.

    Attributes:
        max_retries: most retries; None: without end.
        retry_delay_s: seconds before a retry that names no delay.
        autoretry_for: exceptions that are retried automatically.
        dont_autoretry_for: exceptions among these that are not.
        retry_backoff_s: delay before the first automatic retry, doubled each time, seconds; 0: ``retry_delay_s``.
        retry_backoff_max_s: longest of these delays, seconds.
        retry_jitter: whether each of them is a random part of itself.
        soft_time_limit_s: `SoftTimeLimitExceeded` is raised in an attempt after so long, seconds; None: never.
        time_limit_s: an attempt is ended for certain after so long, seconds; None: never.
        executor: ``"inline"``: it runs alone in its child, on the main thread, whatever executor that child has; None:
            as the worker runs all.
        ignore_result: True: store the outcome, but not the value of a success, unless others in its workflow get it;
            None: as the settings say.
        has_hooks: it has hooks, so that its outcomes are settled one by one.
        delay_of: decides about each automatic retry; None: it is as the other options say.
    """

    max_retries: int | None = option(3, options.retries_or_none, convert=options.to_retries)
    retry_delay_s: float = option(60.0, options.delay, name="default_retry_delay", convert=options.to_duration)
    autoretry_for: tuple[type[BaseException], ...] = option(
        (), options.exception_classes, convert=options.to_exception_classes
    )
    dont_autoretry_for: tuple[type[BaseException], ...] = option(
        (), options.exception_classes, convert=options.to_exception_classes
    )
    retry_backoff_s: float = option(0.0, options.delay, name="retry_backoff", convert=options.to_backoff)
    retry_backoff_max_s: float = option(600.0, options.delay, name="retry_backoff_max", convert=options.to_duration)
    retry_jitter: bool = option(True, options.switch, convert=options.to_switch)
    soft_time_limit_s: float | None = option(None, options.limit, name="soft_time_limit", convert=options.to_limit)
    time_limit_s: float | None = option(None, options.limit, name="time_limit", convert=options.to_limit)
    executor: str | None = option(None, _executor)
    ignore_result: bool | None = option(None, options.switch, convert=options.to_optional_switch)
    has_hooks: bool = False
    delay_of: DelayOf | None = None

    def __post_init__(self) -> None:
        check_options(self)
        check_limit_order(self.soft_time_limit_s, self.time_limit_s)

    def retries_by_itself(self, error: BaseException) -> bool:
        """Return whether this error is retried automatically."""
        return isinstance(error, self.autoretry_for) and not isinstance(error, self.dont_autoretry_for)

    def automatic_delay_s(self, retries: int) -> float:
        """Return the delay before the automatic retry that follows ``retries`` earlier ones, seconds."""
        if not self.retry_backoff_s:
            return self.retry_delay_s
        delay_s = min(self.retry_backoff_s * 2 ** min(retries, 60), self.retry_backoff_max_s)
        return RANDOM.uniform(0, delay_s) if self.retry_jitter else delay_s


def check_executor(executor: Any, function: Callable[..., Any]) -> None:
    """Raise `InvalidTask` if a function cannot run as its task's ``executor`` says."""
    if executor == INLINE and inspect.iscoroutinefunction(function):
        raise InvalidTask(
            f"executor is {INLINE!r}, but {function.__qualname__} is a coroutine function, which runs on an event loop "
            "beside others; make it a plain function (asyncio.run() works in it), or leave executor out."
        )
