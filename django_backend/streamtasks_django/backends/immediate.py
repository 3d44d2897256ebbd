"""Run tasks at once, in the process that enqueues them: for tests, and for development without a server.

Django's own immediate backend with the task class of this package. Differences from a worker:

* The task runs inside ``enqueue()``, also inside a transaction of the caller, or when that is committed
  (``delay_on_commit()`` and the option ``on_commit``).
* ``run_after`` is accepted and ignored; Django's own refuses it.
* Retries happen at once, without their delay; rate limits, time limits and expiry are ignored.
* Linked tasks are enqueued when the task has ended; ``link=<id>`` does not wait.
* Results cannot be fetched later.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from django.utils import timezone

from streamtasks import Attempt, AttemptOutcome, Message, State
from streamtasks.protocol.errors import describe
from streamtasks.tasks.attempt import entered, running_attempt
from streamtasks.tasks.class_task import tell
from streamtasks.tasks.run_options import RunOptions
from streamtasks.tasks.signature import NO_OPTIONS, CallOptions
from streamtasks.workflows.linked import Linked
from streamtasks_workers.executor.error_outcome import outcome_of_error

from ..enqueue.pipeline import registered_name
from ..enqueue.signal_dispatch import send
from ..framework import ImmediateBackend as DjangoImmediateBackend
from ..framework import TaskResultStatus, task_enqueued, task_finished, task_started
from ..tasks.backoff import with_backoff
from ..tasks.class_task import Task as ClassTask
from ..tasks.snapshot_results import STATUS, task_error
from ..tasks.stream_task import StreamTask
from ..tasks.task_context import TaskContext
from .base import StreamTaskMixin, json_round_trip
from .local import new_result, now_or_on_commit

if TYPE_CHECKING:
    from ..framework import Task, TaskResult
    from ..results.task_result import StreamTaskResult

__all__ = ["ImmediateBackend"]


class ImmediateBackend(StreamTaskMixin, DjangoImmediateBackend):
    """Run a task inside ``enqueue()``."""

    supports_defer = True

    def enqueue[**P, R](self, task: Task[P, R], args: Sequence[Any], kwargs: Mapping[str, Any]) -> TaskResult[P, R]:
        """Run one call; arguments and return value go through JSON as with a worker.

        Raises:
            InvalidTask: an option of the task is wrong, or a link is a workflow.
            TypeError, ValueError: JSON cannot encode an argument.
        """
        self.validate_task(task)
        call = task.options if isinstance(task, StreamTask) else NO_OPTIONS
        for link in (*call.link, *call.link_error):
            if isinstance(link.origin, Linked):
                link.origin.owner_of(link)  # raises now, not after the task: no workflows run here
        result = new_result(task, args, kwargs, self.alias)
        result.set(enqueued_at=timezone.now())

        def run() -> None:
            send(task_enqueued, type(self), result)
            self._run_to_the_end(result, call)

        now_or_on_commit(self.options, run)
        return cast("TaskResult[P, R]", result)

    def _run_to_the_end(self, result: StreamTaskResult[Any], call: CallOptions) -> None:
        message = _message_of(result, call)
        options = RunOptions()
        if isinstance(result.task, StreamTask):
            options = with_backoff(result.task.run_options(), result.task, lambda _: result)
        retries = 0
        while True:
            now_ms = time.time_ns() // 1_000_000
            attempt = Attempt(message, retries + 1, self.worker_id, now_ms, now_ms, now_ms, retries=retries)
            with entered(attempt):
                outcome = self._run(result, attempt, options)
                if outcome.state != State.RETRY:
                    _follow(result, outcome, call)
                    return
            retries += 1

    def _run(self, result: StreamTaskResult[Any], attempt: Attempt, options: RunOptions) -> AttemptOutcome:
        started = timezone.now()
        result.worker_ids.append(self.worker_id)
        result.set(last_attempted_at=started, status=TaskResultStatus.RUNNING)
        if result.started_at is None:
            result.set(started_at=started)
        send(task_started, type(self), result)
        task: Any = result.task
        context = TaskContext(task_result=result)
        own = (context,) if task.takes_context else ()
        try:
            if isinstance(task, ClassTask):
                task.for_attempt(attempt).before_start(result.id, result.args, result.kwargs)
            value = task.call(*own, *result.args, **result.kwargs)
            context.save_at_end()
            value = json_round_trip(value, attempt.message.task, "the return value")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the outcome of a task, as SystemExit is in a worker
            context.save_after_error()
            outcome = outcome_of_error(attempt.message, options, attempt.retries, error, attempt)
            self._unsuccessful(result, attempt, outcome)
        else:
            outcome = AttemptOutcome(State.SUCCESS, value)
            _run_hooks(task, attempt, outcome)
            self._finish(result, State.SUCCESS, _return_value=value)
        return outcome

    def _unsuccessful(self, result: StreamTaskResult[Any], attempt: Attempt, outcome: AttemptOutcome) -> None:
        """Finish a failed call inside its ``except`` block, so that Django's log receiver shows the error."""
        assert outcome.error is not None
        if outcome.state == State.IGNORED:
            self._finish(result, State.IGNORED, raised=outcome.error)
            return
        error = describe(outcome.error)
        outcome.traceback = error["traceback"]
        result.errors.append(task_error(error))
        _run_hooks(result.task, attempt, outcome)
        if outcome.state != State.RETRY:
            self._finish(result, outcome.state, raised=outcome.error)

    def _finish(self, result: StreamTaskResult[Any], state: State, **more: Any) -> None:
        result.set(decided=state, finished_at=timezone.now(), **more, status=STATUS[state])
        send(task_finished, type(self), result)


def _message_of(result: StreamTaskResult[Any], call: CallOptions) -> Message:
    task, parent = result.task, running_attempt()
    return Message(
        id=result.id,
        task=registered_name(task),
        args=result.args,
        kwargs=result.kwargs,
        queue=task.queue_name,
        priority=int(task.priority),
        headers=dict(call.headers),
        max_retries=call.max_retries,
        parent_id=parent.id if parent is not None else "",
        root_id=(parent.message.root_id or parent.id) if parent is not None else "",
    )


def _run_hooks(task: Any, attempt: Attempt, outcome: AttemptOutcome) -> None:
    if isinstance(task, ClassTask):
        tell(task, attempt, outcome)


def _follow(result: StreamTaskResult[Any], outcome: AttemptOutcome, call: CallOptions) -> None:
    """Enqueue the linked tasks, on whatever backend."""
    if outcome.state == State.SUCCESS:
        before: tuple[Any, ...] = (outcome.value,)
        links = call.link
    elif outcome.state == State.FAILURE:
        before = (result.id, str(outcome.error), outcome.traceback)
        links = call.link_error
    else:
        return
    for link in links:
        link.apply_async(() if link.immutable else before)
