"""Watch tasks and workers from a script or a shell."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from django.utils import timezone

from .framework import DEFAULT_TASK_BACKEND_ALIAS
from .manager import backend_of

if TYPE_CHECKING:
    from .results.task_result import StreamTaskResult

__all__ = ["TaskMonitor"]


class TaskMonitor:
    """Tasks and workers of one backend.

    Args:
        backend_name: an alias of TASKS.

    Raises:
        ImproperlyConfigured: the backend is not one of this package.
        InvalidTaskBackend: the alias is unknown.
    """

    def __init__(self, backend_name: str = DEFAULT_TASK_BACKEND_ALIAS) -> None:
        self.backend = backend_of(backend_name)

    def monitor_task_progress(
        self,
        task_id: str,
        callback: Callable[[dict[str, Any]], object] | None = None,
        interval: float = 1.0,
        *,
        allow_wait: bool = False,
    ) -> dict[str, Any]:
        """Follow a task until it is finished; return its end, which is also reported last.

        Args:
            task_id: the id of the task.
            callback: called with ``task_id``, ``status``, ``timestamp`` and, if there is one, ``progress``; at the end
                with ``task_id``, ``status``, ``completed``, ``successful``, ``timestamp``, and ``result`` or ``error``.
            interval: seconds between two reports; the end is reported at once.
            allow_wait: wait inside a task, too, which keeps that task's place in its worker.

        Raises:
            TaskResultDoesNotExist: the id is unknown.
            WaitInTask: a task is running here, and this one is not finished.
        """
        result = cast("StreamTaskResult[Any]", self.backend.get_result(task_id))
        while not result.ready():
            report: dict[str, Any] = {"task_id": task_id, "status": str(result.status), "timestamp": _now()}
            progress = result.info
            if progress:
                report["progress"] = progress
            if callback is not None:
                callback(report)
            self.backend.wait_for_results([task_id], interval, allow_wait=allow_wait)
        final: dict[str, Any] = {
            "task_id": task_id,
            "status": str(result.status),
            "completed": True,
            "successful": result.successful(),
            "timestamp": _now(),
        }
        if result.successful():
            final["result"] = result.result
        else:
            final["error"] = str(result.result)
        if callback is not None:
            callback(final)
        return final

    def get_events(self, after: str = "", limit: int = 100) -> dict[str, Any]:
        """Return the events after a ``cursor``: ``events`` and the next ``cursor``.

        There are none unless TASK_SEND_EVENTS is True; see the backend's ``get_events()``.
        """
        return self.backend.get_events(after, limit)

    async def aget_events(self, after: str = "", limit: int = 100) -> dict[str, Any]:
        """Return events from an event loop; see `get_events`."""
        return await self.backend.aget_events(after, limit)

    def get_worker_statistics(self) -> dict[str, Any]:
        """Return ``active_workers``, ``total_tasks_processed``, ``average_task_duration`` and ``worker_load``.

        See the backend's ``get_worker_statistics()``.
        """
        return self.backend.get_worker_statistics()

    async def aget_worker_statistics(self) -> dict[str, Any]:
        """Return the same from an event loop; see `get_worker_statistics`."""
        return await self.backend.aget_worker_statistics()


def _now() -> str:
    return timezone.now().isoformat()
