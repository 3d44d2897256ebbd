"""What can be asked of a backend of ours beyond Django's own: revoke, what runs, counts, clean-up, waiting."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from streamtasks.protocol.state import STATUS, State

if TYPE_CHECKING:
    from ..results.task_result import StreamTaskResult

__all__ = ["TaskControl", "statistics_of", "worker_statistics"]

_RAN = (State.SUCCESS, State.FAILURE, State.IGNORED)


def statistics_of(outcomes: Mapping[str, int], unfinished: int, run_ms: int) -> dict[str, Any]:
    """Return counts as `TaskControl.get_statistics` has them."""
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
    """Return what `TaskControl.get_worker_statistics` does; ``load``: how many tasks each worker runs."""
    return {
        "active_workers": len(load),
        "total_tasks_processed": statistics["completed_tasks"] + statistics["failed_tasks"],
        "average_task_duration": statistics["average_execution_time"],
        "worker_load": load,
    }


class TaskControl:
    """What a backend answers that keeps no results; those that do override it."""

    keeps_results = False
    """Whether ``get_result()`` tells more than the object that ``enqueue()`` returned."""

    def revoke(self, task_id: str, terminate: bool = False) -> bool:  # noqa: ARG002 - as documented
        """End a task before it finishes.

        What has not started never will. A running one is interrupted with ``terminate``, and killed a moment later if
        it goes on; without, it runs to its end. Its outcome is REVOKED either way: FAILED with ``TaskRevoked``.

        Returns:
            True also if it was revoked before. False: it is finished otherwise, and nothing is changed, or nothing is
            known of it; should it be enqueued later, it is revoked then.
        """
        return False

    async def arevoke(self, task_id: str, terminate: bool = False) -> bool:
        """End a task before it finishes, from an event loop; see `revoke`."""
        return self.revoke(task_id, terminate)

    def get_active_tasks(self) -> list[dict[str, Any]]:
        """Return running tasks, the longest first, at most 100.

        Each has ``id``, ``name`` (the path of the task), ``status``, ``started_at`` (ISO 8601 text) and ``worker``.
        """
        return []

    async def aget_active_tasks(self) -> list[dict[str, Any]]:
        """Return running tasks, from an event loop; see `get_active_tasks`."""
        return self.get_active_tasks()

    def cleanup_results(self, cutoff: datetime) -> int:  # noqa: ARG002
        """Forget what finished before ``cutoff`` (naive: local time); return how many. Never what is unfinished."""
        return 0

    async def acleanup_results(self, cutoff: datetime) -> int:
        """Forget what finished before ``cutoff``, from an event loop; see `cleanup_results`."""
        return self.cleanup_results(cutoff)

    def forget_result(self, task_id: str) -> bool:  # noqa: ARG002
        """Forget one result; False: it is not finished, or not known."""
        return False

    async def aforget_result(self, task_id: str) -> bool:
        """Forget one result, from an event loop; see `forget_result`."""
        return self.forget_result(task_id)

    def get_statistics(self) -> dict[str, Any]:
        """Return counts since the backend was first used, at a cost that does not grow with them.

        ``total_tasks``, ``completed_tasks``, ``failed_tasks`` (also revoked and expired ones), ``pending_tasks`` (also
        running ones) and ``average_execution_time`` in seconds.
        """
        return statistics_of({}, 0, 0)

    async def aget_statistics(self) -> dict[str, Any]:
        """Return counts, from an event loop; see `get_statistics`."""
        return self.get_statistics()

    def get_worker_statistics(self) -> dict[str, Any]:
        """Return what workers do.

        ``active_workers``, ``total_tasks_processed``, ``average_task_duration`` in seconds, and ``worker_load``: how
        many tasks each of them is known to run now.
        """
        return worker_statistics(self.get_statistics(), {})

    async def aget_worker_statistics(self) -> dict[str, Any]:
        """Return what workers do, from an event loop; see `get_worker_statistics`."""
        return self.get_worker_statistics()

    def get_events(self, after: str = "", limit: int = 100) -> dict[str, Any]:  # noqa: ARG002
        """Return what happened to tasks, oldest first, if TASK_SEND_EVENTS has it written down.

        Args:
            after: the ``cursor`` of an earlier call, to go on from there; empty: as far back as events are kept.
            limit: most entries, each of which may concern 100 tasks that one call was about.

        Returns:
            ``cursor`` and ``events``: dicts of ``task_id``, ``event``, ``detail`` (see `stores.types.Event`)
            and ``timestamp`` (ISO 8601 text).
        """
        return {"events": [], "cursor": after}

    async def aget_events(self, after: str = "", limit: int = 100) -> dict[str, Any]:
        """Return what happened to tasks, from an event loop; see `get_events`."""
        return self.get_events(after, limit)

    def get_dead_letters(self, limit: int = 100, before: str = "") -> list[dict[str, Any]]:  # noqa: ARG002
        """Return tasks that were given up on, the newest first, at most 100.

        Each has ``id``, ``name`` (empty: its bytes cannot be read), ``reason``, ``queue``, ``died_at`` (ISO 8601 text)
        and ``cursor``, to be given as ``before`` to go on from there.
        """
        return []

    async def aget_dead_letters(self, limit: int = 100, before: str = "") -> list[dict[str, Any]]:
        """Return tasks that were given up on, from an event loop; see `get_dead_letters`."""
        return self.get_dead_letters(limit, before)

    def get_results(self, ids: Sequence[str]) -> list[StreamTaskResult | None]:
        """Return many results, in order; None for one of which nothing is known, or that is not kept."""
        return [None for _ in ids]

    async def aget_results(self, ids: Sequence[str]) -> list[StreamTaskResult | None]:
        """Return many results, from an event loop; see `get_results`."""
        return self.get_results(ids)

    def wait_for_results(self, ids: Sequence[str], timeout: float | None) -> set[str]:  # noqa: ARG002
        """Wait until at least one of these is finished or the time is up, seconds; return those that are finished."""
        return set()

    async def await_for_results(
        self,
        ids: Sequence[str],
        timeout: float | None,  # noqa: ASYNC109
    ) -> set[str]:
        """Wait without blocking the event loop; see `wait_for_results`."""
        return self.wait_for_results(ids, timeout)

    async def awatch(self, task_id: str) -> AsyncGenerator[StreamTaskResult]:
        """Yield a task's result whenever it may have changed; end with a final one, or when nothing is known of it."""
        for result in self.get_results([task_id]):
            if result is not None:
                yield result
