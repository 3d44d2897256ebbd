"""The options of tasks as type checkers know them, by their names for users; `TaskOptions` describes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypedDict

__all__ = ["DefinitionOptions", "PlainDefinitionOptions", "SharedOptions", "UsingOptions"]


class SharedOptions(TypedDict, total=False):
    """What both a definition and ``using()`` take."""

    queue: str
    queue_name: str
    priority: int
    max_retries: int | None
    default_retry_delay: float | timedelta
    soft_time_limit: float | timedelta | None
    time_limit: float | timedelta | None
    ignore_result: bool | None
    expires: float | timedelta | None
    rate_limit: str | float | None
    rate_limit_burst: int
    rate_limit_key: str | Callable[..., str] | None


class UsingOptions(SharedOptions, total=False):
    """What ``using()`` takes."""

    run_after: datetime | timedelta | None


class DefinitionOptions(SharedOptions, total=False):
    """What the decorators take, beside what changes the type of the task."""

    autoretry_for: type[BaseException] | Sequence[type[BaseException]]
    dont_autoretry_for: type[BaseException] | Sequence[type[BaseException]]
    retry_backoff: float | timedelta
    retry_backoff_max: float | timedelta
    retry_jitter: bool
    executor: str | None


class PlainDefinitionOptions(DefinitionOptions, total=False):
    """What ``@app.task`` takes."""

    run_after: datetime | timedelta | None
