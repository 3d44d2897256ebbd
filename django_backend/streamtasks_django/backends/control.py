"""Inspect and control the tasks of a backend, beyond Django's own methods: revoke, list, count, delete, wait."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from streamtasks.exceptions import ServerNotSupported
from streamtasks.protocol.log_lines import TaskLogs
from streamtasks.protocol.state import STATUS, State

if TYPE_CHECKING:
    from ..results.task_result import StreamTaskResult

__all__ = ["TaskControl", "statistics_of", "worker_statistics"]

_RAN = (State.SUCCESS, State.FAILURE, State.IGNORED)


def statistics_of(outcomes: Mapping[str, int], unfinished: int, run_ms: int) -> dict[str, Any]:
    """Return counts in the form of `TaskControl.get_statistics`."""
    counts = {state: outcomes.get(state.value, 0) for state in State}
    completed = sum(count for state, count in counts.items() if STATUS.get(state) == "SUCCESSFUL")
    failed = sum(count for state, count in counts.items() if STATUS.get(state) == "FAILED")
    ran = sum(counts[state] for state in _RAN)
    return {
        "total_tasks": completed + failed + unfinished,
        "completed_tasks": completed,
        "failed_tasks": failed,
        "pending_tasks": unfinished,
        "average_execution_time": round(run_ms / 1000 / ran, 6) if ran else 0,
    }


def worker_statistics(statistics: Mapping[str, Any], load: dict[str, int]) -> dict[str, Any]:
    """Return counts in the form of `TaskControl.get_worker_statistics`; ``load``: running tasks of each worker."""
    return {
        "active_workers": len(load),
        "total_tasks_processed": statistics["completed_tasks"] + statistics["failed_tasks"],
        "average_task_duration": statistics["average_execution_time"],
        "worker_load": load,
    }


class TaskControl:
    """The methods of a backend that keeps no results; backends that keep them override these."""

    keeps_results = False
    """Whether ``get_result()`` reads anything newer than the object that ``enqueue()`` returned."""

    def revoke(self, task_id: str, terminate: bool = False) -> bool:  # noqa: ARG002 - as documented
        """Revoke a task that is not finished.

        A task that has not started never will. A running one goes on to its end; with ``terminate`` it is interrupted,
        and killed a moment later if it continues. Either way its outcome is REVOKED: FAILED with ``TaskRevoked``.

        Returns:
            True if the task is revoked now or was before. False if it is finished with another outcome, which stays,
            or if the id is unknown; a task that is enqueued with this id later is then revoked.
        """
        return False

    async def arevoke(self, task_id: str, terminate: bool = False) -> bool:
        """Revoke a task from an event loop; see `revoke`."""
        return self.revoke(task_id, terminate)

    def task_logs(self, task_id: str) -> TaskLogs:
        """Return what the attempts of a task have logged and printed, as far as it is kept.

        Raises:
            ServerNotSupported: this backend keeps none.
        """
        raise ServerNotSupported(
            f"{type(self).__name__} keeps nothing of what {task_id} has logged: a RedisBackend or a MemoryBackend does."
        )

    def get_active_tasks(self) -> list[dict[str, Any]]:
        """Return running tasks, the longest-running first, at most 100.

        Each has ``id``, ``name`` (the path of the task), ``status``, ``started_at`` (ISO 8601 text) and ``worker``.
        """
        return []

    async def aget_active_tasks(self) -> list[dict[str, Any]]:
        """Return running tasks, from an event loop; see `get_active_tasks`."""
        return self.get_active_tasks()

    def cleanup_results(self, cutoff: datetime) -> int:  # noqa: ARG002
        """Delete results of tasks that finished before ``cutoff`` (naive: local time); return their number."""
        return 0

    async def acleanup_results(self, cutoff: datetime) -> int:
        """Delete old results from an event loop; see `cleanup_results`."""
        return self.cleanup_results(cutoff)

    def forget_result(self, task_id: str) -> bool:  # noqa: ARG002
        """Delete one result; return False if the task is unfinished or unknown."""
        return False

    async def aforget_result(self, task_id: str) -> bool:
        """Delete one result from an event loop; see `forget_result`."""
        return self.forget_result(task_id)

    def get_statistics(self) -> dict[str, Any]:
        """Return counts since the backend was first used, at a constant cost.

        ``total_tasks``, ``completed_tasks``, ``failed_tasks`` (also revoked and expired ones), ``pending_tasks`` (also
        running ones) and ``average_execution_time`` in seconds.
        """
        return statistics_of({}, 0, 0)

    async def aget_statistics(self) -> dict[str, Any]:
        """Return counts from an event loop; see `get_statistics`."""
        return self.get_statistics()

    def get_worker_statistics(self) -> dict[str, Any]:
        """Return counts of workers.

        ``active_workers``, ``total_tasks_processed``, ``average_task_duration`` in seconds, and ``worker_load``:
        the running tasks of each worker.
        """
        return worker_statistics(self.get_statistics(), {})

    async def aget_worker_statistics(self) -> dict[str, Any]:
        """Return counts of workers from an event loop; see `get_worker_statistics`."""
        return self.get_worker_statistics()

    def get_events(self, after: str = "", limit: int = 100) -> dict[str, Any]:  # noqa: ARG002
        """Return events of tasks, oldest first; they are recorded with TASK_SEND_EVENTS.

        Args:
            after: the ``cursor`` of an earlier call, to continue from there; empty: from the oldest event.
            limit: most entries of the stream; one call may have written one entry for 100 tasks.

        Returns:
            ``cursor`` and ``events``: dicts of ``task_id``, ``event``, ``detail`` (see `stores.types.Event`)
            and ``timestamp`` (ISO 8601 text).
        """
        return {"events": [], "cursor": after}

    async def aget_events(self, after: str = "", limit: int = 100) -> dict[str, Any]:
        """Return events from an event loop; see `get_events`."""
        return self.get_events(after, limit)

    def watch_events(self, after: str | None = None) -> Iterator[dict[str, Any]]:  # noqa: ARG002
        """Yield pages of events as `get_events` returns them, whenever something happens, without an end.

        Events are written while somebody watches; with ``TASK_SEND_EVENTS`` always. Workers that come and go are
        ``joined`` and ``left``, with the name as ``task_id``; queues are ``paused`` and ``resumed``.

        Args:
            after: the ``cursor`` of the last page, to continue from there; empty: from the oldest; None: from now.
        """
        return iter(())

    async def awatch_events(self, after: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """Yield pages of events on an event loop; see `watch_events`."""
        for page in self.watch_events(after):
            yield page

    def get_dead_letters(self, limit: int = 100, before: str = "") -> list[dict[str, Any]]:  # noqa: ARG002
        """Return dead letters, the newest first, at most 100.

        Each has ``id``, ``name`` (empty if its bytes are unreadable), ``reason``, ``queue``, ``died_at`` (ISO 8601
        text) and ``cursor``; pass that as ``before`` to continue from there.
        """
        return []

    async def aget_dead_letters(self, limit: int = 100, before: str = "") -> list[dict[str, Any]]:
        """Return dead letters from an event loop; see `get_dead_letters`."""
        return self.get_dead_letters(limit, before)

    def forget_queue(self, queue: str) -> bool:  # noqa: ARG002
        """Delete what is kept of a queue that is used no more, at once; return False if there was nothing.

        It goes by itself some days after its last message (option ``queue_expires``). A queue that is used again comes
        back.

        Raises:
            QueueNotEmpty: messages are in it; it says how many, and what to do.
        """
        return False

    async def aforget_queue(self, queue: str) -> bool:
        """Delete what is kept of a queue from an event loop; see `forget_queue`."""
        return self.forget_queue(queue)

    def get_results(self, ids: Sequence[str]) -> list[StreamTaskResult[Any] | None]:
        """Return many results, in order; None for an unknown id."""
        return [None for _ in ids]

    async def aget_results(self, ids: Sequence[str]) -> list[StreamTaskResult[Any] | None]:
        """Return many results from an event loop; see `get_results`."""
        return self.get_results(ids)

    def ended_soon(
        self,
        task_id: str,  # noqa: ARG002
        timeout: float | None,  # noqa: ARG002
        *,
        allow_wait: bool = False,  # noqa: ARG002
    ) -> StreamTaskResult[Any] | None:
        """Return the result of a task that was enqueued just now and ends soon, where it need not be read for that."""
        return None

    def wait_for_results(
        self,
        ids: Sequence[str],  # noqa: ARG002
        timeout: float | None,  # noqa: ARG002
        *,
        allow_wait: bool = False,  # noqa: ARG002
    ) -> set[str]:
        """Wait until at least one task is finished, or ``timeout`` seconds; return the ids of finished ones.

        Args:
            ids: of the tasks.
            timeout: seconds; None waits for ever.
            allow_wait: wait inside a task, too, which keeps that task's place in its worker.

        Raises:
            WaitInTask: a task is running here, and none of these is finished.
        """
        return set()

    async def await_for_results(
        self,
        ids: Sequence[str],
        timeout: float | None,  # noqa: ASYNC109
        *,
        allow_wait: bool = False,
    ) -> set[str]:
        """Wait on an event loop; see `wait_for_results`."""
        return self.wait_for_results(ids, timeout, allow_wait=allow_wait)

    async def awatch(self, task_id: str, *, allow_wait: bool = False) -> AsyncGenerator[StreamTaskResult[Any]]:  # noqa: ARG002
        """Yield a task's result whenever it may have changed, until it is final or unknown.

        Args:
            task_id: the id of the task.
            allow_wait: wait inside a task, too, which keeps that task's place in its worker.

        Raises:
            WaitInTask: a task is running here, and the first result is not final.
        """
        for result in self.get_results([task_id]):
            if result is not None:
                yield result
