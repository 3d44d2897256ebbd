"""The parts that the backends share: the task class, the rules for queues, and enqueueing to a store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast, override

from django.utils.inspect import get_func_args

from streamtasks import UnknownQueue
from streamtasks.exceptions import InvalidKey
from streamtasks.exceptions import InvalidTask as InvalidId
from streamtasks.protocol.json import dumps, invalid_key, loads
from streamtasks.protocol.keys import check_id, check_queue
from streamtasks.tasks.attempt import running_attempt
from streamtasks.tasks.known_id import check_known
from streamtasks.tasks.middleware import around_enqueue_many

from ..checks import check_backend
from ..conf import project, version
from ..enqueue.json_errors import normalized
from ..enqueue.later import acalls_held, calls_held
from ..enqueue.owner import BackendOwner, BackendSchedules, group_of
from ..enqueue.pipeline import has_own_id, prepare
from ..enqueue.signal_dispatch import asend, is_ignored, send
from ..enqueue.store_alias import Stores
from ..enqueue.unsent import aread, read
from ..exceptions import InvalidTask
from ..framework import DEFAULT_TASK_BACKEND_ALIAS, BaseTaskBackend, TaskResultDoesNotExist, task_enqueued
from ..results.metadata import HEADER
from ..results.task_result import StreamTaskResult
from ..tasks.commit_request import asked_database
from ..tasks.snapshot_results import from_snapshot
from ..tasks.stream_task import StreamTask
from .control import TaskControl
from .store_control import StoreControl

if TYPE_CHECKING:
    from django.core.checks import CheckMessage

    from streamtasks.results.workflow_result import GroupResult
    from streamtasks.schedules.schedules import Schedules

    from ..framework import Task, TaskResult
    from ..worker.application import DjangoApplication

__all__ = ["StoreBackend", "Stores", "StreamTaskMixin", "json_round_trip"]


def json_round_trip(value: Any, task: str, name: str) -> Any:
    """Return a value as a worker receives it.

    Raises:
        TypeError: Django rejects values of this type.
        ValueError: JSON cannot encode it.
        InvalidKey: a key in it is not a string.
    """
    try:
        return loads(dumps(normalized(value, task, name)))
    except InvalidKey as error:
        raise invalid_key(name, error.path, error.key, task) from None


class StreamTaskMixin(TaskControl, BaseTaskBackend):
    """Set the task class and the rules for queues; a mixin before Django's own class.

    Without a QUEUES key every name is valid; with one, Django's rules apply. A subclass may have an
    ``__init__(self, **options)`` that passes its arguments on; without ``params``, ``options`` are the OPTIONS.
    """

    task_class = StreamTask
    supports_metadata = True

    def __init__(
        self, alias: str = DEFAULT_TASK_BACKEND_ALIAS, params: dict[str, Any] | None = None, **options: Any
    ) -> None:
        params = params or {}
        if options:
            params = {**params, "OPTIONS": {**(params.get("OPTIONS") or {}), **options}}
        super().__init__(alias, params)
        self.params = params
        if "QUEUES" not in params:
            self.queues = set()

    @property
    def schedules(self) -> Schedules:
        """The schedules of this alias.

        Raises:
            InvalidTask: the backend has no schedules.
        """
        raise InvalidTask(
            f"The backend {self.alias!r} ({type(self).__name__}) has no schedules. Use RedisBackend, or MemoryBackend "
            "for development and tests."
        )

    def validate_task(self, task: Task[..., Any]) -> None:
        """Check a task's options.

        Raises:
            InvalidTask: an option is wrong.
        """
        known: tuple[object, str, type] | None = getattr(task, "_validated", None)
        if known is not None and known == (version.token, self.alias, type(self)):
            return  # tasks do not change
        if self.queues and task.queue_name not in self.queues:
            raise InvalidTask(
                f"Queue {task.queue_name!r} is not valid for backend {self.alias!r}; its QUEUES are "
                f"{', '.join(sorted(self.queues))}."
            )
        super().validate_task(task)
        if isinstance(task, StreamTask) and task.bind:
            if task.takes_context:
                raise InvalidTask("bind and takes_context exclude each other; use self.request.")
            if not get_func_args(task.func):
                raise InvalidTask("bind: a bound task needs a first argument, self.")
        try:
            check_queue(task.queue_name)
        except UnknownQueue as error:
            raise InvalidTask(str(error)) from error
        if isinstance(task, StreamTask):
            object.__setattr__(task, "_validated", (version.token, self.alias, type(self)))

    def save_metadata(self, task_result: TaskResult[Any, Any], metadata: dict[str, Any]) -> None:
        """Store the metadata of a running task; `streamtasks_django.TaskContext` calls it. Provisional."""
        object.__setattr__(task_result, "raw_metadata", metadata)

    async def asave_metadata(self, task_result: TaskResult[Any, Any], metadata: dict[str, Any]) -> None:
        """Store the metadata of a running task; see `save_metadata`."""
        await asyncio.to_thread(self.save_metadata, task_result, metadata)


class StoreBackend(StoreControl, StreamTaskMixin):
    """A backend on a `Store`. Django makes an instance per thread and per request, so ``__init__`` does nothing."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    @cached_property
    def owner(self) -> BackendOwner:
        """The alias as the owner of its tasks, workflows and schedules."""
        return BackendOwner(self)

    @property
    @override
    def schedules(self) -> Schedules:
        """The schedules of this alias: create, change, pause, run and delete them."""
        return BackendSchedules(self.owner)

    def application(self) -> DjangoApplication:
        """Return the alias as a worker serves it."""
        from ..worker.application import DjangoApplication  # producers do not need it

        return DjangoApplication(self)

    def enqueue[**P, R](self, task: Task[P, R], args: Sequence[Any], kwargs: Mapping[str, Any]) -> TaskResult[P, R]:
        """Enqueue one call; return once the server has stored it, or a transaction that is to be committed holds it.

        When you call it yourself, this backend is used even if TASK_ROUTES names another one; routes then set queue and
        priority only.

        Raises:
            InvalidTask: an option of the task is wrong.
            TypeError, ValueError: JSON cannot encode an argument.
            TaskIdInUse: the ``task_id`` of the call is that of another one.
            PayloadTooLarge: the call takes more than ``max_payload_bytes``.
            StoreUnavailable: the server did not answer in ``enqueue_timeout`` seconds.
            StoreFull: the server is out of memory.
            NotDurable: it is enqueued, but not as durable as was asked for.
        """
        result, message, retry_time_s = call = prepare(self, task, args, kwargs)
        if (self.delivers_later or asked_database.get() is not None) and calls_held(
            self, (call,), own_id=has_own_id(task)
        ):
            return cast("TaskResult[P, R]", result)
        store = self.stores.plain
        if not store.enqueue((message,), retry_time_s)[0] and has_own_id(task):
            check_known(message, store.read([message.id])[0], self.store_settings.wire)
        send(task_enqueued, type(self), result)
        return cast("TaskResult[P, R]", result)

    async def aenqueue[**P, R](
        self, task: Task[P, R], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> TaskResult[P, R]:
        """Enqueue one call without blocking the event loop; errors as of `enqueue`."""
        result, message, retry_time_s = call = prepare(self, task, args, kwargs)
        if await acalls_held(self, (call,), own_id=has_own_id(task)):
            return cast("TaskResult[P, R]", result)
        store = self.stores.asynchronous
        if not (await store.enqueue((message,), retry_time_s))[0] and has_own_id(task):
            check_known(message, (await store.read([message.id]))[0], self.store_settings.wire)
        await asend(task_enqueued, type(self), result)
        return cast("TaskResult[P, R]", result)

    def enqueue_many(
        self, calls: Iterable[tuple[Task[..., Any], Sequence[Any], Mapping[str, Any]]]
    ) -> list[TaskResult[..., Any]]:
        """Enqueue many calls, ``(task, args, kwargs)`` each, in one round trip and in this order.

        All are checked before the first is sent; errors as of `enqueue`.
        """
        with around_enqueue_many(project.middleware()):
            prepared = [prepare(self, self._routed_here(task), args, kwargs) for task, args, kwargs in calls]
            are_held = calls_held(self, prepared)
            if not are_held:
                self.stores.plain.enqueue([message for _, message, _ in prepared])
        if not are_held and not is_ignored(task_enqueued):
            for result, _, _ in prepared:
                send(task_enqueued, type(self), result)
        return [result for result, _, _ in prepared]

    async def aenqueue_many(
        self, calls: Iterable[tuple[Task[..., Any], Sequence[Any], Mapping[str, Any]]]
    ) -> list[TaskResult[..., Any]]:
        """Enqueue many calls without blocking the event loop; see `enqueue_many`."""
        with around_enqueue_many(project.middleware()):
            prepared = [prepare(self, self._routed_here(task), args, kwargs) for task, args, kwargs in calls]
            are_held = await acalls_held(self, prepared)
            if not are_held:
                await self.stores.asynchronous.enqueue([message for _, message, _ in prepared])
        if not are_held and not is_ignored(task_enqueued):
            for result, _, _ in prepared:
                await asend(task_enqueued, type(self), result)
        return [result for result, _, _ in prepared]

    def _routed_here(self, task: Task[..., Any]) -> Task[..., Any]:
        """Return the routed task.

        Raises:
            InvalidTask: TASK_ROUTES routes it to another backend.
        """
        routed = task.routed() if isinstance(task, StreamTask) else task
        if routed.backend not in {self.alias, task.backend}:
            raise InvalidTask(
                f"TASK_ROUTES routes {task.module_path} to the backend {routed.backend!r}, not to {self.alias!r}; "
                "enqueue it there, or with its own enqueue()."
            )
        return routed

    def get_result(self, result_id: str) -> StreamTaskResult[Any]:
        """Return the present state of a task, in one round trip (two for an unknown id).

        Raises:
            TaskResultDoesNotExist: the id is unknown, or its record has expired.
        """
        snapshot = read(self, (_valid_id(result_id),))[0]
        if snapshot is None:
            raise _does_not_exist(result_id, self.stores.plain.workflow(result_id) is not None)
        return from_snapshot(snapshot, self.alias)

    async def aget_result(self, result_id: str) -> StreamTaskResult[Any]:
        """Return the present state of a task from an event loop; see `get_result`."""
        store = self.stores.asynchronous
        snapshot = (await aread(self, (_valid_id(result_id),)))[0]
        if snapshot is None:
            raise _does_not_exist(result_id, await store.workflow(result_id) is not None)
        return from_snapshot(snapshot, self.alias)

    @override
    def save_metadata(self, task_result: TaskResult[Any, Any], metadata: dict[str, Any]) -> None:
        """Store the metadata of the task that is running here, all of it, in one round trip. Provisional.

        Raises:
            InvalidTask: that task is not running here.
            ClaimLost: another worker has it by now; nothing was stored.
            StoreUnavailable: the server did not answer in time.
        """
        attempt = running_attempt()
        if attempt is None or attempt.id != task_result.id:
            raise InvalidTask(
                f"The metadata of task {task_result.id} was not stored: only the attempt that runs a task may do that, "
                "in the task's own thread."
            )
        headers = {name: value for name, value in attempt.message.headers.items() if name != HEADER}
        attempt.save_headers(headers | ({HEADER: metadata} if metadata else {}))

    def get_group(self, group_id: str) -> GroupResult:
        """Return a handle on an enqueued group, by the id of its result.

        Raises:
            TaskResultDoesNotExist: the id is unknown, or is not the id of a group.
        """
        return group_of(self.owner, _valid_id(group_id))

    @override
    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Run the system checks of this alias; see `streamtasks_django.checks`."""
        return check_backend(self)


def _does_not_exist(result_id: str, is_workflow: bool) -> TaskResultDoesNotExist:
    """Return the error for an id that is not the id of a task."""
    if is_workflow:
        return TaskResultDoesNotExist(f"{result_id} is the id of a group, not of a task: use get_group().")
    return TaskResultDoesNotExist(result_id)


def _valid_id(result_id: Any) -> str:
    """Return a valid id; the server is not asked about others."""
    try:
        return check_id(result_id)
    except InvalidId as error:
        raise TaskResultDoesNotExist(result_id) from error
