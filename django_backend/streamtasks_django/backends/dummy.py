"""Keep enqueued tasks in a list and run none of them: for tests that inspect enqueued tasks.

Django's own dummy backend with the task class of this package; ``backend.results`` and ``backend.clear()`` are as
there. Only the thread that enqueued a task knows its result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from django.utils import timezone

from streamtasks import State, TaskRevoked
from streamtasks.protocol.errors import describe

from ..framework import DummyBackend as DjangoDummyBackend
from ..framework import TaskResultStatus, task_enqueued
from ..tasks.snapshot_results import task_error
from .base import StreamTaskMixin
from .control import statistics_of
from .local import new_result, now_or_on_commit

if TYPE_CHECKING:
    from ..framework import Task, TaskResult
    from ..results.task_result import StreamTaskResult

__all__ = ["DummyBackend"]


class DummyBackend(StreamTaskMixin, DjangoDummyBackend):
    """Keep enqueued tasks in ``results``. Only `revoke` finishes one."""

    keeps_results = True

    def enqueue[**P, R](self, task: Task[P, R], args: Sequence[Any], kwargs: Mapping[str, Any]) -> TaskResult[P, R]:
        """Keep one call, with its arguments as a worker would receive them.

        Raises:
            InvalidTask: an option of the task is wrong.
            TypeError, ValueError: JSON cannot encode an argument.
        """
        self.validate_task(task)
        result = new_result(task, args, kwargs, self.alias)
        now_or_on_commit(self.options, lambda: self._keep(result))
        return cast("TaskResult[P, R]", deepcopy(result))  # changes by the caller must not reach the list

    def _keep(self, result: StreamTaskResult[Any]) -> None:
        result.set(enqueued_at=timezone.now())
        self._known().append(result)
        task_enqueued.send(type(self), task_result=result)

    def revoke(self, task_id: str, terminate: bool = False) -> bool:  # noqa: ARG002
        """See `TaskControl.revoke`."""
        result = next((result for result in self._known() if result.id == task_id), None)
        if result is None or result.is_finished:
            return result is not None and result.decided == State.REVOKED
        error = TaskRevoked(f"Task {task_id} was revoked before it finished.")
        result.errors.append(task_error(describe(error)))
        result.set(decided=State.REVOKED, raised=error, finished_at=timezone.now(), status=TaskResultStatus.FAILED)
        return True

    def save_metadata(self, task_result: TaskResult[Any, Any], metadata: dict[str, Any]) -> None:
        """See `StreamTaskMixin.save_metadata`."""
        stored = self.get_result(task_result.id)
        object.__setattr__(stored, "raw_metadata", deepcopy(metadata))

    def cleanup_results(self, cutoff: datetime) -> int:
        """See `TaskControl.cleanup_results`."""
        kept = [
            result
            for result in self._known()
            if result.finished_at is None or result.finished_at.astimezone(UTC) >= cutoff.astimezone(UTC)
        ]
        forgotten = len(self.results) - len(kept)
        self.results[:] = kept
        return forgotten

    def forget_result(self, task_id: str) -> bool:
        """See `TaskControl.forget_result`."""
        found = [result for result in self._known() if result.id == task_id and result.is_finished]
        for result in found:
            self.results.remove(result)
        return bool(found)

    def get_statistics(self) -> dict[str, Any]:
        """See `TaskControl.get_statistics`."""
        revoked = sum(result.is_finished for result in self.results)
        return statistics_of({State.REVOKED.value: revoked}, len(self.results) - revoked, 0)

    def get_results(self, ids: Sequence[str]) -> list[StreamTaskResult[Any] | None]:
        """See `TaskControl.get_results`."""
        known = {result.id: result for result in self._known()}
        return [known.get(task_id) for task_id in ids]

    def wait_for_results(
        self,
        ids: Sequence[str],
        timeout: float | None,  # noqa: ARG002
        *,
        allow_wait: bool = False,  # noqa: ARG002
    ) -> set[str]:
        """See `TaskControl.wait_for_results`; it returns at once, because no task runs."""
        return {result.id for result in self._known() if result.is_finished and result.id in ids}

    def _known(self) -> list[StreamTaskResult[Any]]:
        return cast("list[StreamTaskResult[Any]]", self.results)
