"""Results of calls that stay in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils.crypto import get_random_string

from streamtasks.tasks.signature import NO_OPTIONS

from ..conf.transactions import commit_database
from ..enqueue.pipeline import registered_name, without_options
from ..framework import TaskResultStatus
from ..results.task_result import StreamTaskResult
from ..tasks.commit_request import awaited_database
from ..tasks.stream_task import StreamTask
from .base import json_round_trip

if TYPE_CHECKING:
    from ..framework import Task

__all__ = ["new_result", "now_or_on_commit"]


def now_or_on_commit(options: Mapping[str, Any], work: Callable[[], None]) -> None:
    """Do the work of a call now, or when the transaction that it waits for is committed; see `enqueue_on_commit`.

    Args:
        options: OPTIONS of the backend.
        work: the work.
    """
    database = awaited_database(commit_database(options))
    if database is None:
        work()
    else:
        transaction.on_commit(work, using=database)


def new_result(task: Task[..., Any], args: Any, kwargs: Any, alias: str) -> StreamTaskResult[Any]:
    """Return the result of a new call, with its arguments as a worker would receive them.

    Raises:
        TypeError, ValueError: JSON cannot encode an argument.
    """
    name = registered_name(task)
    call = task.options if isinstance(task, StreamTask) else NO_OPTIONS
    return StreamTaskResult(
        task=without_options(task),
        id=call.task_id or get_random_string(32),
        status=TaskResultStatus.READY,
        enqueued_at=None,
        started_at=None,
        last_attempted_at=None,
        finished_at=None,
        args=json_round_trip(args, name, "args"),
        kwargs=json_round_trip(kwargs, name, "kwargs"),
        backend=alias,
        errors=[],
        worker_ids=[],
        raw_metadata=dict(task.metadata) if isinstance(task, StreamTask) else {},
    )
