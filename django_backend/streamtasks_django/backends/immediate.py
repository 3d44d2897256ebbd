"""Run tasks at once, in the process that enqueues them: for tests, and for development without a server.

Django's own immediate backend with our task class. What is different from a worker:

* The task runs inside ``enqueue()``, also inside a transaction of the caller.
* ``run_after`` is accepted and ignored; Django's own refuses it.
* Results cannot be fetched later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.tasks.backends.immediate import ImmediateBackend as DjangoImmediateBackend
from django.tasks.base import TaskResultStatus

from .base import StreamTaskMixin, json_round_trip

if TYPE_CHECKING:
    from django.tasks.base import Task, TaskResult

__all__ = ["ImmediateBackend"]


class ImmediateBackend(StreamTaskMixin, DjangoImmediateBackend):
    """Runs a task inside ``enqueue()``."""

    supports_defer = True

    def enqueue[**P, R](self, task: Task[P, R], args: Sequence[Any], kwargs: Mapping[str, Any]) -> TaskResult[P, R]:
        """Run one call; arguments and return value go through JSON as with a worker.

        Raises:
            InvalidTask: an option of the task is wrong.
            TypeError, ValueError: JSON cannot carry an argument.
        """
        self.validate_task(task)
        result = super().enqueue(task, json_round_trip(args), json_round_trip(kwargs))
        if result.status == TaskResultStatus.SUCCESSFUL:
            object.__setattr__(result, "_return_value", json_round_trip(result.return_value))
        return result
