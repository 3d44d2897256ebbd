"""Where the workflows of one backend alias live; see `streamtasks.workflows.start.Home`."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from django.tasks.exceptions import TaskResultDoesNotExist
from django.tasks.signals import task_enqueued

from streamtasks.exceptions import TaskNotFound
from streamtasks.protocol.state import Snapshot, State
from streamtasks.workflows.app_home import gathering
from streamtasks.workflows.results import GroupResult, group_result
from streamtasks.workflows.start import Part

from ..exceptions import InvalidTask
from ..results.snapshot_results import from_snapshot
from ..tasks.registry import known_task
from ..tasks.stream_task import StreamTask
from .owner import BackendOwner
from .pipeline import node_message
from .signal_dispatch import asend, only_logs, send

if TYPE_CHECKING:
    from django.tasks.base import TaskResult

    from streamtasks.protocol.message import Message
    from streamtasks.stores.types import Limit, NewMessage, NewWorkflow
    from streamtasks.tasks.signature import Signature

    from ..backends.base import StoreBackend

__all__ = ["BackendHome", "group_of", "home_of"]

_log = logging.getLogger("django.tasks")


class BackendHome(BackendOwner):
    """One alias, as its workflows see it. Two of the same alias are equal."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BackendHome) and other._backend.alias == self._backend.alias

    def __hash__(self) -> int:
        return hash(self._backend.alias)

    def message_of(self, signature: Signature, part: Part) -> NewMessage:
        """See `Home.message_of`."""
        return node_message(self._backend, signature, part)

    def gathering(self, like: NewMessage, part: Part) -> NewMessage:
        """See `Home.gathering`."""
        return gathering(like, part, self.settings)

    def result(self, task_id: str) -> TaskResult[..., Any]:
        """See `Home.result`."""
        return self._backend.get_result(task_id)

    async def aresult(self, task_id: str) -> TaskResult[..., Any]:
        """See `Home.aresult`."""
        return await self._backend.aget_result(task_id)

    def results(self, ids: Sequence[str]) -> list[TaskResult[..., Any]]:
        """See `Home.results`.

        Raises:
            TaskResultDoesNotExist: one has expired.
        """
        return list(self._known(ids, self.store.read(ids)))

    def _known(self, ids: Sequence[str], snapshots: Sequence[Snapshot | None]) -> Iterable[TaskResult[..., Any]]:
        for task_id, snapshot in zip(ids, snapshots, strict=True):
            if snapshot is None:
                raise TaskResultDoesNotExist(task_id)
            yield from_snapshot(snapshot, self._backend.alias)

    def limit_of(self, message: Message) -> Limit | None:
        """See `Home.limit_of`."""
        task = known_task(message.task)
        return task.limit_of(message.args, message.kwargs) if isinstance(task, StreamTask) else None

    def started(self, new: NewWorkflow) -> None:
        """Send ``task_enqueued`` for each task, if somebody listens."""
        for result in self._enqueued(new):
            send(task_enqueued, type(self._backend), result)

    async def astarted(self, new: NewWorkflow) -> None:
        """Send ``task_enqueued`` for each task from an event loop."""
        for result in self._enqueued(new):
            await asend(task_enqueued, type(self._backend), result)

    def _enqueued(self, new: NewWorkflow) -> Iterable[TaskResult[..., Any]]:
        if only_logs(task_enqueued) and not _log.isEnabledFor(logging.DEBUG):
            return
        now_ms = time.time_ns() // 1_000_000
        for node in new.nodes:
            state = State.BLOCKED if node.waits_for else State.QUEUED
            snapshot = Snapshot(node.message.id, state, node.message.envelope, now_ms, wire=self.settings.wire)
            yield from_snapshot(snapshot, self._backend.alias)


def home_of(backend: Any) -> BackendHome:
    """Return where workflows of a backend live.

    Raises:
        InvalidTask: it keeps no tasks.
    """
    from ..backends.base import StoreBackend

    if not isinstance(backend, StoreBackend):
        raise InvalidTask(
            f"The backend {backend.alias!r} ({type(backend).__name__}) runs no workflows. Use RedisBackend, or "
            "MemoryBackend for development and tests."
        )
    return BackendHome(backend)


def group_of(backend: StoreBackend, group_id: str) -> GroupResult:
    """Return a handle on an enqueued group.

    Raises:
        TaskResultDoesNotExist: nothing is known of it, or it is no group.
    """
    try:
        return group_result(home_of(backend), group_id)
    except TaskNotFound as error:
        raise TaskResultDoesNotExist(group_id) from error
