"""A backend alias as the owner of tasks, workflows and schedules, for the engine."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings as django_settings

from streamtasks.exceptions import InvalidTask as EngineInvalidTask
from streamtasks.exceptions import PayloadTooLarge, TaskNotFound, UnknownQueue
from streamtasks.protocol.state import Snapshot, State
from streamtasks.results.lookup import group_result
from streamtasks.results.workflow_result import GroupResult, aresult_of, result_of
from streamtasks.schedules.operations import ScheduleOperations
from streamtasks.schedules.owner import make_signature
from streamtasks.schedules.schedules import Schedules
from streamtasks.tasks.position import Position
from streamtasks.tasks.signature import Signature

from ..exceptions import InvalidTask
from ..framework import PACKAGE, TaskResultDoesNotExist, task_enqueued
from ..framework import InvalidTask as DjangoInvalidTask
from ..tasks.registry import known_task
from ..tasks.snapshot_results import RUN_AFTER, from_snapshot
from ..tasks.stream_task import StreamTask
from . import pipeline
from .later import aworkflow_held, workflow_held
from .signal_dispatch import asend, only_logs, send
from .unsent import StoreWithUnsent, snapshot_of

if TYPE_CHECKING:
    from streamtasks.protocol.graph import Graph
    from streamtasks.protocol.message import Message
    from streamtasks.settings import StoreSettings
    from streamtasks.stores.base import AsyncStore, Store
    from streamtasks.stores.schedule_store import NewSchedule, StoredSchedule
    from streamtasks.stores.types import Limit, NewMessage
    from streamtasks.stores.workflow_types import NewWorkflow

    from ..framework import TaskResult
    from ..results.task_result import StreamTaskResult
    from .store_alias import StoreAlias

__all__ = ["BackendOwner", "BackendSchedules", "group_of"]

_log = logging.getLogger(PACKAGE)


class BackendOwner:
    """One alias of TASKS, as the engine's workflows and schedules see it. Two of one alias are equal."""

    def __init__(self, backend: StoreAlias) -> None:
        self._backend = backend

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BackendOwner) and other._backend.alias == self._backend.alias

    def __hash__(self) -> int:
        return hash(self._backend.alias)

    @property
    def description(self) -> str:
        """The name of the alias in error messages."""
        return self._backend.label

    @property
    def settings(self) -> StoreSettings:
        """The engine's settings."""
        return self._backend.store_settings

    @property
    def store(self) -> Store:
        """The store of the alias, which also reads what has not reached it yet."""
        return cast("Store", StoreWithUnsent(self._backend))

    @property
    def async_store(self) -> AsyncStore:
        """The same store for event loops."""
        return cast("AsyncStore", StoreWithUnsent(self._backend, asynchronous=True))

    # -- links and workflows -------------------------------------------------------------------------

    def resolve_link(self, task: StreamTask[..., Any], signature: Signature, tag: str) -> Signature:
        """Return the signature of a routed task with its id and all options; see `Origin.resolve`."""
        return pipeline.resolve(self._backend, task, signature, tag)

    def node_message(self, task: StreamTask[..., Any], signature: Signature, position: Position) -> NewMessage:
        """Return a signature of a routed task as a node of a workflow; see `Origin.node_message`."""
        return pipeline.node_message(self._backend, task, signature, position)

    def limit_of(self, message: Message) -> Limit | None:
        """Return the rate limit that the start of a message counts against."""
        task = known_task(message.task)
        return task.limit_of(message.args, message.kwargs) if isinstance(task, StreamTask) else None

    def start_workflow(self, new: NewWorkflow, graph: Graph) -> Any:
        """Enqueue a workflow, now or with the transaction around it, and send ``task_enqueued`` for each task.

        See `Owner.start_workflow`.
        """
        if workflow_held(self._backend, new, lambda: self._enqueued(new)):
            return self._unsent_result(new, graph)
        if self.store.start_workflow(new):
            for result in self._enqueued(new):
                send(task_enqueued, type(self._backend), result)
        return result_of(self, graph)

    async def astart_workflow(self, new: NewWorkflow, graph: Graph) -> Any:
        """Enqueue a workflow from an event loop; see `start_workflow`."""
        if await aworkflow_held(self._backend, new, lambda: self._enqueued(new)):
            return self._unsent_result(new, graph)
        if await self.async_store.start_workflow(new):
            for result in self._enqueued(new):
                await asend(task_enqueued, type(self._backend), result)
        return await aresult_of(self, graph)

    def _unsent_result(self, new: NewWorkflow, graph: Graph) -> Any:
        """Return the handle on a workflow that has not reached the store, without asking there."""
        kind, number = graph.result
        if kind == "n" and number < len(new.nodes):
            node = new.nodes[number]
            return self._new_result(node.message, State.BLOCKED if node.waits_for else State.QUEUED)
        return result_of(self, graph)

    def _enqueued(self, new: NewWorkflow) -> Iterable[TaskResult[..., Any]]:
        if only_logs(task_enqueued) and not _log.isEnabledFor(logging.DEBUG):
            return  # no receiver would do anything with them
        for node in new.nodes:
            yield self._new_result(node.message, State.BLOCKED if node.waits_for else State.QUEUED)

    def _new_result(self, message: NewMessage, state: State = State.QUEUED) -> StreamTaskResult[Any]:
        return from_snapshot(snapshot_of(self._backend, message, state), self._backend.alias)

    # -- results -------------------------------------------------------------------------------------

    def result(self, task_id: str) -> TaskResult[..., Any]:
        """Return the result of a task."""
        return self._backend.get_result(task_id)

    async def aresult(self, task_id: str) -> TaskResult[..., Any]:
        """Return the result of a task from an event loop."""
        return await self._backend.aget_result(task_id)

    def results(self, ids: Sequence[str]) -> list[TaskResult[..., Any]]:
        """Return the results of many tasks, in order.

        Raises:
            TaskResultDoesNotExist: one of them has expired.
        """
        return [self._known(task_id, found) for task_id, found in zip(ids, self.store.read(ids), strict=True)]

    def _known(self, task_id: str, snapshot: Snapshot | None) -> TaskResult[..., Any]:
        if snapshot is None:
            raise TaskResultDoesNotExist(task_id)
        return from_snapshot(snapshot, self._backend.alias)

    # -- schedules -----------------------------------------------------------------------------------

    @property
    def timezone(self) -> str:
        """The time zone of schedules that name none: TIME_ZONE."""
        return str(django_settings.TIME_ZONE or "UTC")

    def signature_of(
        self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Signature:
        """Return the call of a schedule.

        Args:
            task: a task of this project, or its name.
            args: positional arguments.
            kwargs: keyword arguments.
            options: as ``apply_async()`` of a Django task takes them.

        Raises:
            InvalidTask: there is no such task, or an option is wrong.
        """
        with _as_django():
            if isinstance(task, str):
                found = known_task(task)
                if found is None:
                    raise InvalidTask(
                        f"task is {task!r}, which no tasks.py, TASK_IMPORTS or URLconf of this project defines."
                    )
                task = found
            signature = make_signature(task, args, kwargs)
            origin = signature.origin
            if not isinstance(origin, StreamTask):
                raise InvalidTask(f"task is {task!r}, which is no task of a backend of streamtasks.")
            return origin.with_options(signature, options)

    def resolve(self, signature: Signature) -> Signature:
        """Return the call of a schedule as it is stored.

        Raises:
            InvalidTask: an option or an argument is wrong, or the task's calls go to another backend.
        """
        with _as_django():
            return self._resolved(signature)

    def _resolved(self, signature: Signature) -> Signature:
        origin = signature.origin
        assert isinstance(origin, StreamTask)
        task = origin.called(signature.options.given()).routed()
        alias = self._backend.alias
        if task.backend != alias:
            raise InvalidTask(
                f"{signature!r} goes to the backend {task.backend!r}, but this schedule belongs to {alias!r}. Create "
                f"it there, or give backend={alias!r}."
            )
        self._backend.validate_task(task)
        found = pipeline.resolve(self._backend, task, signature, self.settings.tags[0])
        # When each call is due follows from its occurrence.
        headers = {name: value for name, value in found.options.headers.items() if name != RUN_AFTER}
        return replace(found, options=replace(found.options, headers=headers))

    def enqueue(self, message: NewMessage) -> StreamTaskResult[Any]:
        """Enqueue one call of a schedule; return its result."""
        self.store.enqueue([message])
        result = self._new_result(message)
        send(task_enqueued, type(self._backend), result)
        return result

    async def aenqueue(self, message: NewMessage) -> StreamTaskResult[Any]:
        """Enqueue one call of a schedule from an event loop; return its result."""
        await self.async_store.enqueue([message])
        result = self._new_result(message)
        await asend(task_enqueued, type(self._backend), result)
        return result


class _Operations(ScheduleOperations):
    def _new(self, *args: Any, **kwargs: Any) -> NewSchedule:
        with _as_django():
            return super()._new(*args, **kwargs)

    def _changed(self, stored: StoredSchedule, changes: Mapping[str, Any]) -> NewSchedule:
        with _as_django():
            return super()._changed(stored, changes)


class BackendSchedules(Schedules):
    """``backend.schedules``; errors in a schedule are Django's ``InvalidTask`` as well as the engine's."""

    operations = _Operations


def group_of(owner: BackendOwner, group_id: str) -> GroupResult:
    """Return a handle on an enqueued group.

    Raises:
        TaskResultDoesNotExist: the id is unknown, or is not the id of a group.
    """
    try:
        return group_result(owner, group_id)
    except TaskNotFound as error:
        raise TaskResultDoesNotExist(group_id) from error


@contextmanager
def _as_django() -> Generator[None]:
    try:
        yield
    except (InvalidTask, PayloadTooLarge, UnknownQueue):
        raise
    except (EngineInvalidTask, DjangoInvalidTask) as error:
        raise InvalidTask(str(error)) from error
