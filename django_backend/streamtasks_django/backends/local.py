"""Results of calls that stay in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.tasks.base import TaskResultStatus
from django.utils.crypto import get_random_string

from streamtasks.tasks.signature import NO_OPTIONS

from ..enqueue.pipeline import without_options
from ..results.task_result import StreamTaskResult
from ..tasks.stream_task import StreamTask

if TYPE_CHECKING:
    from django.tasks.base import Task

__all__ = ["new_result"]


def new_result(task: Task[..., Any], args: Any, kwargs: Any, alias: str) -> StreamTaskResult:
    """Return the result of a call that has not been enqueued yet."""
    call = task.options if isinstance(task, StreamTask) else NO_OPTIONS
    return StreamTaskResult(
        task=without_options(task),
        id=call.task_id or get_random_string(32),
        status=TaskResultStatus.READY,
        enqueued_at=None,
        started_at=None,
        last_attempted_at=None,
        finished_at=None,
        args=args,
        kwargs=kwargs,
        backend=alias,
        errors=[],
        worker_ids=[],
    )
