"""Ask the ``backoff`` of a task, or of its alias, about a retry; see `retry_policy`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from streamtasks.protocol.errors import describe
from streamtasks.tasks.run_options import DelayOf, RunOptions

from ..framework import TaskResultStatus
from .retry_policy import Backoff, settings_of
from .snapshot_results import task_error

__all__ = ["with_backoff"]


def with_backoff(options: RunOptions, task: Any, result_of: Callable[[Any], Any]) -> RunOptions:
    """Return the run options of a task with the ``backoff`` of the task or of its alias.

    Args:
        options: its run options without it.
        task: the task.
        result_of: returns the result of an attempt at its start.
    """
    backoff: Backoff | None = getattr(task, "backoff", None)
    if backoff is None:
        backoff = settings_of(getattr(task.get_backend(), "params", {}))[1]
    return options if backoff is None else replace(options, delay_of=_delay_of(backoff, result_of))


def _delay_of(backoff: Backoff, result_of: Callable[[Any], Any]) -> DelayOf:
    def delay_of(error: BaseException, attempt: Any) -> Any:
        result = result_of(attempt)
        failed = [*result.errors, task_error(describe(error))]
        return backoff(error, replace(result, status=TaskResultStatus.FAILED, errors=failed))

    return delay_of
