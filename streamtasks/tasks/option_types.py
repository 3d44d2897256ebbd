"""The options of tasks as type checkers know them, by their names for users; `TaskOptions` describes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypedDict

from ..protocol.durability import Durability

__all__ = ["CommonOptions", "DefinitionOptions", "PlainDefinitionOptions", "UsingOptions"]


class CommonOptions(TypedDict, total=False):
    """The options of definitions and of ``using()``, in plain Python and in Django."""

    max_retries: int | None
    default_retry_delay: float | timedelta
    soft_time_limit: float | timedelta | None
    time_limit: float | timedelta | None
    ignore_result: bool | None
    expires: float | timedelta | None
    rate_limit: str | float | None
    rate_limit_burst: int
    rate_limit_key: str | Callable[..., str] | None
    durability: Durability | None


class UsingOptions(CommonOptions, total=False):
    """The keyword arguments of ``using()`` in plain Python."""

    queue: str
    queue_name: str
    priority: int
    run_after: datetime | timedelta | None


class DefinitionOptions(CommonOptions, total=False):
    """The keyword arguments of the decorators, except those that change the type of the task."""

    queue: str
    queue_name: str
    priority: int
    autoretry_for: type[BaseException] | Sequence[type[BaseException]]
    dont_autoretry_for: type[BaseException] | Sequence[type[BaseException]]
    retry_backoff: float | timedelta
    retry_backoff_max: float | timedelta
    retry_jitter: bool
    executor: str | None


class PlainDefinitionOptions(DefinitionOptions, total=False):
    """The keyword arguments of ``@app.task``."""

    run_after: datetime | timedelta | None
