"""Run tasks at once, in the process that enqueues them: for tests, and for development without a server.

Django's own immediate backend with our task class. What is different from a worker:

* The task runs inside ``enqueue()``, also inside a transaction of the caller.
* ``run_after`` is accepted and ignored; Django's own refuses it.
* Results cannot be fetched later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from django.tasks.backends.immediate import ImmediateBackend as DjangoImmediateBackend
from django.tasks.base import TaskContext, TaskResultStatus
from django.tasks.signals import task_enqueued, task_finished, task_started
from django.utils import timezone

from streamtasks import Ignore, State
from streamtasks.errors import describe

from ..results import STATUS, task_error
from ..sending import send
from .base import StreamTaskMixin, json_round_trip
from .local import new_result

if TYPE_CHECKING:
    from django.tasks.base import Task, TaskResult

    from ..stream_task_result import StreamTaskResult

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
        result = new_result(task, json_round_trip(args), json_round_trip(kwargs), self.alias)
        result.set(enqueued_at=timezone.now())
        send(task_enqueued, type(self), result)
        self._run(result)
        return cast("TaskResult[P, R]", result)

    def _run(self, result: StreamTaskResult) -> None:
        started = timezone.now()
        result.worker_ids.append(self.worker_id)
        result.set(started_at=started, last_attempted_at=started, status=TaskResultStatus.RUNNING)
        send(task_started, type(self), result)
        context = (TaskContext(task_result=result),) if result.task.takes_context else ()
        try:
            value = json_round_trip(result.task.call(*context, *result.args, **result.kwargs))
        except KeyboardInterrupt:
            raise
        except Ignore as ignored:
            self._finish(result, State.IGNORED, raised=ignored)
        except BaseException as error:  # noqa: BLE001 - the outcome of a task, as SystemExit is in a worker
            result.errors.append(task_error(describe(error)))
            self._finish(result, State.FAILURE, raised=error)
        else:
            self._finish(result, State.SUCCESS, _return_value=value)

    def _finish(self, result: StreamTaskResult, state: State, **more: Any) -> None:
        """Called inside the ``except`` block of a failure: Django's log receiver shows the error."""
        result.set(decided=state, finished_at=timezone.now(), **more, status=STATUS[state])
        send(task_finished, type(self), result)
