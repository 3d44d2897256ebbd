"""Keep enqueued tasks in a list and run none of them: for tests that look at what was enqueued.

Django's own dummy backend with our task class; ``backend.results`` and ``backend.clear()`` as there. Results are
known in the thread that enqueued them only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.tasks.backends.dummy import DummyBackend as DjangoDummyBackend

from .base import StreamTaskMixin, json_round_trip

if TYPE_CHECKING:
    from django.tasks.base import Task, TaskResult

__all__ = ["DummyBackend"]


class DummyBackend(StreamTaskMixin, DjangoDummyBackend):
    """Remembers what was enqueued."""

    def enqueue[**P, R](self, task: Task[P, R], args: Sequence[Any], kwargs: Mapping[str, Any]) -> TaskResult[P, R]:
        """Remember one call, with its arguments as a worker would get them.

        Raises:
            InvalidTask: an option of the task is wrong.
            TypeError, ValueError: JSON cannot carry an argument.
        """
        self.validate_task(task)
        return super().enqueue(task, json_round_trip(args), json_round_trip(kwargs))
