"""Inspect and control the tasks of a backend with a `Store`; see `control`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async

from streamtasks.exceptions import InvalidTask
from streamtasks.operations.events import awatch_events, watch_events
from streamtasks.operations.inspect import message_of, running_by_worker, task_of
from streamtasks.protocol.keys import check_id
from streamtasks.protocol.log_lines import NO_LOGS, TaskLogs
from streamtasks.protocol.state import STATUS, DeadLetter, Snapshot, State
from streamtasks.protocol.wire import Wire
from streamtasks.results.waits import is_refused, refusal
from streamtasks.stores.inspection_types import Active, Events, Statistics, WorkerInfo
from streamtasks.stores.types import Revocation

from ..enqueue.store_alias import StoreAlias
from ..enqueue.unsent import aread, read
from ..results.rows import delete_rows
from ..results.task_result import StreamTaskResult, as_text
from ..tasks.snapshot_results import due_ms, from_snapshot, moment
from .control import TaskControl, statistics_of, worker_statistics

__all__ = ["StoreControl"]

_CALLBACK = "streamtasks.callback"
"""The task of the engine's callback messages, which report outcomes that were decided without the task's process."""
_REVOKED = (Revocation.GONE, Revocation.MARKED)


class StoreControl(TaskControl, StoreAlias):
    """Answer questions about tasks from a `Store`."""

    keeps_results = True

    def revoke(self, task_id: str, terminate: bool = False) -> bool:
        """See `TaskControl.revoke`."""
        return _is_id(task_id) and self.stores.plain.revoke(task_id, terminate=terminate) in _REVOKED

    async def arevoke(self, task_id: str, terminate: bool = False) -> bool:
        """See `TaskControl.revoke`."""
        return _is_id(task_id) and await self.stores.asynchronous.revoke(task_id, terminate=terminate) in _REVOKED

    def task_logs(self, task_id: str) -> TaskLogs:
        """See `TaskControl.task_logs`."""
        return (self.stores.plain.logs(task_id) if _is_id(task_id) else None) or NO_LOGS

    def get_active_tasks(self) -> list[dict[str, Any]]:
        """See `TaskControl.get_active_tasks`."""
        return self._listed(self.stores.plain.active())

    async def aget_active_tasks(self) -> list[dict[str, Any]]:
        """See `TaskControl.get_active_tasks`."""
        return self._listed(await self.stores.asynchronous.active())

    def _listed(self, running: Sequence[Active]) -> list[dict[str, Any]]:
        found = [_active(one, self.store_settings.wire) for one in running]
        return [one for one in found if one["name"] != _CALLBACK]

    def cleanup_results(self, cutoff: datetime) -> int:
        """See `TaskControl.cleanup_results`; rows of results are deleted, too.

        Where there are rows, their number is returned if it is the larger one: most records of old tasks have expired.

        Raises:
            TypeError: ``cutoff`` is not a datetime.
        """
        before_ms = _before_ms(cutoff)
        return max(self.stores.plain.delete_finished(before_ms), self._delete_rows(before_ms))

    async def acleanup_results(self, cutoff: datetime) -> int:
        """See `cleanup_results`."""
        before_ms = _before_ms(cutoff)
        forgotten: int = await self.stores.asynchronous.delete_finished(before_ms)
        return max(forgotten, await sync_to_async(self._delete_rows)(before_ms) if self.keeps_rows else 0)

    def _delete_rows(self, before_ms: int) -> int:
        before = moment(before_ms)
        if not self.keeps_rows or before is None:
            return 0
        return delete_rows(self.row_model(), before, self.rows_database)

    def forget_result(self, task_id: str) -> bool:
        """See `TaskControl.forget_result`."""
        return _is_id(task_id) and self.stores.plain.delete_result(task_id)

    async def aforget_result(self, task_id: str) -> bool:
        """See `TaskControl.forget_result`."""
        return _is_id(task_id) and bool(await self.stores.asynchronous.delete_result(task_id))

    def get_statistics(self) -> dict[str, Any]:
        """See `TaskControl.get_statistics`."""
        return _statistics(self.stores.plain.statistics())

    async def aget_statistics(self) -> dict[str, Any]:
        """See `TaskControl.get_statistics`."""
        return _statistics(await self.stores.asynchronous.statistics())

    def get_worker_statistics(self) -> dict[str, Any]:
        """See `TaskControl.get_worker_statistics`."""
        store = self.stores.plain
        return worker_statistics(self.get_statistics(), _load(store.workers(), store.active()))

    async def aget_worker_statistics(self) -> dict[str, Any]:
        """See `TaskControl.get_worker_statistics`."""
        store = self.stores.asynchronous
        return worker_statistics(await self.aget_statistics(), _load(await store.workers(), await store.active()))

    def get_events(self, after: str = "", limit: int = 100) -> dict[str, Any]:
        """See `TaskControl.get_events`."""
        return _events(self.stores.plain.events(after, limit))

    async def aget_events(self, after: str = "", limit: int = 100) -> dict[str, Any]:
        """See `TaskControl.get_events`."""
        return _events(await self.stores.asynchronous.events(after, limit))

    def watch_events(self, after: str | None = None) -> Iterator[dict[str, Any]]:
        """See `TaskControl.watch_events`."""
        for page in watch_events(self.stores.plain, after):
            yield _events(page)

    async def awatch_events(self, after: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """See `TaskControl.watch_events`."""
        async for page in awatch_events(self.stores.plain, after, sync_to_async(_run_look)):
            yield _events(page)

    def get_dead_letters(self, limit: int = 100, before: str = "") -> list[dict[str, Any]]:
        """See `TaskControl.get_dead_letters`."""
        return [_dead(letter) for letter in self.stores.plain.dead_letters(limit, before)]

    async def aget_dead_letters(self, limit: int = 100, before: str = "") -> list[dict[str, Any]]:
        """See `TaskControl.get_dead_letters`."""
        return [_dead(letter) for letter in await self.stores.asynchronous.dead_letters(limit, before)]

    def forget_queue(self, queue: str) -> bool:
        """See `TaskControl.forget_queue`."""
        return self.stores.plain.forget_queue(queue)

    async def aforget_queue(self, queue: str) -> bool:
        """See `TaskControl.forget_queue`."""
        return bool(await self.stores.asynchronous.forget_queue(queue))

    def get_results(self, ids: Sequence[str]) -> list[StreamTaskResult[Any] | None]:
        """Return many results in one round trip; see `TaskControl.get_results`."""
        possible = [task_id for task_id in ids if _is_id(task_id)]
        return self._results(ids, read(self, possible) if possible else ())

    async def aget_results(self, ids: Sequence[str]) -> list[StreamTaskResult[Any] | None]:
        """Return many results in one round trip; see `TaskControl.get_results`."""
        possible = [task_id for task_id in ids if _is_id(task_id)]
        return self._results(ids, await aread(self, possible) if possible else ())

    def _results(self, ids: Sequence[str], snapshots: Sequence[Snapshot | None]) -> list[StreamTaskResult[Any] | None]:
        known = {snapshot.id: snapshot for snapshot in snapshots if snapshot is not None}
        return [from_snapshot(known[task_id], self.alias) if task_id in known else None for task_id in ids]

    def wait_for_results(self, ids: Sequence[str], timeout: float | None, *, allow_wait: bool = False) -> set[str]:
        """See `TaskControl.wait_for_results`."""
        refused = is_refused(timeout, allow_wait=allow_wait)
        return _finished(ids, self.stores.plain.wait_finished(ids, 0 if refused else timeout), refused=refused)

    async def await_for_results(
        self,
        ids: Sequence[str],
        timeout: float | None,  # noqa: ASYNC109
        *,
        allow_wait: bool = False,
    ) -> set[str]:
        """See `TaskControl.wait_for_results`."""
        refused = is_refused(timeout, allow_wait=allow_wait)
        snapshots = await self.stores.asynchronous.wait_finished(ids, 0 if refused else timeout)
        return _finished(ids, snapshots, refused=refused)

    async def awatch(self, task_id: str, *, allow_wait: bool = False) -> AsyncGenerator[StreamTaskResult[Any]]:
        """See `TaskControl.awatch`; the server pushes changes.

        Raises:
            StoreUnavailable: the server does not answer.
        """
        if _is_id(task_id):
            async with aclosing(self.stores.asynchronous.watch(task_id)) as snapshots:
                async for snapshot in snapshots:
                    yield from_snapshot(snapshot, self.alias)
                    if not snapshot.is_finished and is_refused(None, allow_wait=allow_wait):
                        raise refusal(f"task {task_id}")


def _finished(ids: Sequence[str], snapshots: Iterable[Snapshot], *, refused: bool) -> set[str]:
    found = {snapshot.id for snapshot in snapshots}
    if refused and ids and not found:
        raise refusal(f"task {ids[0]}")
    return found


def _before_ms(cutoff: datetime) -> int:
    if not isinstance(cutoff, datetime):
        raise TypeError(f"cutoff is {cutoff!r}; it must be a datetime, naive (local time) or aware.")
    return due_ms(cutoff)


def _load(workers: Sequence[WorkerInfo], running: Sequence[Active]) -> dict[str, int]:
    """Return the number of running tasks of each live worker."""
    by_worker = running_by_worker(running)
    return {worker.name: len(by_worker.get(worker.name, ())) for worker in workers if worker.is_live}


def _statistics(found: Statistics) -> dict[str, Any]:
    return statistics_of(found.outcomes, found.unfinished, found.run_ms)


def _run_look(look: Callable[[], Events]) -> Events:
    return look()


def _events(found: Events) -> dict[str, Any]:
    events = [
        {"task_id": one.id, "event": one.kind, "detail": one.detail, "timestamp": as_text(moment(one.at_ms))}
        for one in found.events
        if _is_id(one.id)  # the engine's own messages have ids that are not valid for tasks
    ]
    return {"events": events, "cursor": found.cursor}


def _active(one: Active, wire: Wire) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": task_of(one, wire),
        "status": STATUS[State.STARTED],
        "started_at": as_text(moment(one.started_ms)),
        "worker": one.worker,
    }


def _dead(letter: DeadLetter) -> dict[str, Any]:
    message = message_of(letter)
    return {
        "id": letter.id,
        "name": "" if message is None else message.task,
        "reason": letter.reason,
        "queue": letter.stream.partition(":")[2],
        "died_at": as_text(moment(letter.died_ms)),
        "cursor": letter.cursor,
    }


def _is_id(task_id: Any) -> bool:
    try:
        check_id(task_id)
    except InvalidTask:
        return False
    return True
