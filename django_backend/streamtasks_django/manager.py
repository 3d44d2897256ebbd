"""Read results by id, wait for many, delete old ones, and count tasks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from streamtasks.results.waits import is_refused, refusal

from .backends.access import get_task_backend
from .backends.base import StreamTaskMixin
from .framework import DEFAULT_TASK_BACKEND_ALIAS

if TYPE_CHECKING:
    from .results.task_result import StreamTaskResult

__all__ = ["TaskResultManager", "backend_of", "describe_result"]


def backend_of(alias: str) -> StreamTaskMixin:
    """Return the backend of an alias.

    Raises:
        ImproperlyConfigured: the backend is not one of this package.
        InvalidTaskBackend: the alias is unknown.
    """
    backend = get_task_backend(alias)
    if not isinstance(backend, StreamTaskMixin):
        raise ImproperlyConfigured(
            f"TASKS[{alias!r}] is a {type(backend).__module__}.{type(backend).__qualname__}; "
            "use one of the backends in streamtasks_django.backends."
        )
    return backend


def describe_result(result: StreamTaskResult[Any]) -> dict[str, Any]:
    """Return a result that was just read as plain data; nothing is read here."""
    ready = result.is_finished
    successful = str(result.status) == "SUCCESSFUL"
    info: dict[str, Any] = {
        "task_id": result.id,
        "status": str(result.status),
        "ready": ready,
        "successful": successful if ready else None,
        "failed": not successful if ready else None,
        "date_created": result.date_created,
        "date_done": result.date_done if ready else None,
    }
    if ready and successful:
        info["result"] = result.result
    elif ready:
        info["error"] = str(result.result)
        info["traceback"] = result.traceback
    return info


class TaskResultManager:
    """Results of one backend.

    Args:
        backend_name: an alias of TASKS.

    Raises:
        ImproperlyConfigured: the backend is not one of this package.
        InvalidTaskBackend: the alias is unknown.
    """

    def __init__(self, backend_name: str = DEFAULT_TASK_BACKEND_ALIAS) -> None:
        self.backend = backend_of(backend_name)

    def get_task_info(self, task_id: str) -> dict[str, Any]:
        """Return the state of a task as JSON-compatible data, in one round trip.

        ``task_id``, ``status``, ``ready``, ``successful`` and ``failed`` (None before it is ready), ``date_created``,
        ``date_done``, and once it is ready ``result``, or ``error`` and ``traceback``. If reading fails:
        ``task_id`` and ``error``.
        """
        try:
            return describe_result(self._typed(self.backend.get_result(task_id)))
        except Exception as error:  # noqa: BLE001 - as documented, any error becomes part of the answer
            return _no_info(task_id, error)

    async def aget_task_info(self, task_id: str) -> dict[str, Any]:
        """Return the state of a task from an event loop; see `get_task_info`."""
        try:
            return describe_result(self._typed(await self.backend.aget_result(task_id)))
        except Exception as error:  # noqa: BLE001
            return _no_info(task_id, error)

    def wait_for_multiple_tasks(
        self, task_ids: Iterable[str], timeout: float = 60, *, allow_wait: bool = False
    ) -> dict[str, dict[str, Any]]:
        """Wait until all of these tasks are finished.

        Args:
            task_ids: the ids of the tasks.
            timeout: seconds for all together.
            allow_wait: wait inside a task, too, which keeps that task's place in its worker.

        Returns:
            A dict by id, in the order given: ``status`` (``"completed"``, ``"timeout"`` or ``"error"``), and
            ``result`` or ``error``.

        Raises:
            WaitInTask: a task is running here, and not all of these are finished.
        """
        ids = list(dict.fromkeys(task_ids))
        deadline = time.monotonic() + timeout
        found = self._ends(ids)
        if is_refused(timeout, allow_wait=allow_wait) and (waiting := [one for one in ids if one not in found]):
            raise refusal(f"task {waiting[0]}")  # also if the look has taken all of the time
        while (left := deadline - time.monotonic()) > 0:
            waiting = [task_id for task_id in ids if task_id not in found]
            if not waiting or not (finished := self.backend.wait_for_results(waiting, left, allow_wait=allow_wait)):
                break
            found |= self._ends(list(finished))
        late = {"status": "timeout", "error": f"Task did not complete within {timeout} seconds"}
        return {task_id: found.get(task_id, dict(late)) for task_id in ids}

    def cleanup_old_results(self, days_old: float = 7) -> int:
        """Delete results of tasks that finished more than ``days_old`` days ago; return their number."""
        return self.backend.cleanup_results(timezone.now() - timedelta(days=days_old))

    async def acleanup_old_results(self, days_old: float = 7) -> int:
        """Delete old results from an event loop; see `cleanup_old_results`."""
        return await self.backend.acleanup_results(timezone.now() - timedelta(days=days_old))

    def get_task_statistics(self) -> dict[str, Any]:
        """Return ``total_tasks``, ``completed_tasks``, ``failed_tasks``, ``pending_tasks``, ``average_execution_time``.

        Counts since the backend was first used, and seconds; see the backend's ``get_statistics()``.
        """
        return self.backend.get_statistics()

    async def aget_task_statistics(self) -> dict[str, Any]:
        """Return counts from an event loop; see `get_task_statistics`."""
        return await self.backend.aget_statistics()

    def _ends(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the ends of the finished and the unknown ones among these tasks."""
        found: dict[str, dict[str, Any]] = {}
        for task_id, result in zip(ids, self.backend.get_results(ids), strict=True):
            if result is None:
                found[task_id] = {
                    "status": "error",
                    "error": f"No task {task_id} is known, or not any more.",
                }
            elif result.is_finished and result.successful():
                found[task_id] = {"status": "completed", "result": result.result}
            elif result.is_finished:
                found[task_id] = {"status": "error", "error": str(result.result)}
        return found

    @staticmethod
    def _typed(result: Any) -> StreamTaskResult[Any]:
        return cast("StreamTaskResult[Any]", result)


def _no_info(task_id: str, error: Exception) -> dict[str, Any]:
    return {"task_id": task_id, "error": f"Failed to get task info: {error}"}
