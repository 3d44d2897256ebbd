"""The options of Django tasks as type checkers know them; `StreamTask` and `streamtasks.CallOptions` describe them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from streamtasks.schedules.rules import RuleLike
from streamtasks.tasks.option_types import CommonOptions, DefinitionOptions
from streamtasks.tasks.step import ApplyOptions

from ..results.task_result import StreamTaskResult

__all__ = ["DjangoApplyOptions", "DjangoDefinitionOptions", "DjangoUsingOptions"]


class DjangoApplyOptions(ApplyOptions, total=False):
    """The keyword arguments of ``apply_async()``, with Django's names for two of them."""

    queue_name: str | None
    run_after: datetime | timedelta | None


class DjangoUsingOptions(CommonOptions, total=False):
    """The keyword arguments of ``using()``."""

    queue: str | None
    queue_name: str | None
    priority: int | None
    run_after: datetime | timedelta | None
    backend: str | None
    metadata: Mapping[str, Any] | None


class DjangoDefinitionOptions(DefinitionOptions, total=False):
    """The keyword arguments of ``@task``, except ``bind`` and ``takes_context``, which change the type of the task."""

    name: str
    backend: str
    max_attempts: int | None
    backoff: Callable[[BaseException, StreamTaskResult[Any]], float | timedelta | None] | None
    schedule: RuleLike | Mapping[str, Any] | None
