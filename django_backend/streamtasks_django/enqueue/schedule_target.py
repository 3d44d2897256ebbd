"""Where the schedules of one backend alias are; see `streamtasks.schedules.target.Place`."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.tasks.exceptions import InvalidTask as DjangoInvalidTask
from django.tasks.signals import task_enqueued

from streamtasks.exceptions import InvalidTask as EngineInvalidTask
from streamtasks.exceptions import PayloadTooLarge, UnknownQueue
from streamtasks.protocol.state import Snapshot, State
from streamtasks.schedules.app_target import call_of
from streamtasks.schedules.schedules import Schedules
from streamtasks.tasks.call_options import given_options
from streamtasks.tasks.signature import Signature

from ..exceptions import InvalidTask
from ..results.snapshot_results import RUN_AFTER, from_snapshot
from ..tasks.registry import known_task
from ..tasks.stream_task import StreamTask
from .owner import BackendOwner
from .pipeline import resolve
from .signal_dispatch import asend, send

if TYPE_CHECKING:
    from streamtasks.stores.schedule_store import NewSchedule, StoredSchedule
    from streamtasks.stores.types import NewMessage

    from ..results.task_result import StreamTaskResult

__all__ = ["BackendPlace", "BackendSchedules", "call_of_task"]


class BackendSchedules(Schedules):
    """``backend.schedules``: what is wrong with a schedule is Django's ``InvalidTask``, too."""

    def _new(self, *args: Any, **kwargs: Any) -> NewSchedule:
        with _as_django():
            return super()._new(*args, **kwargs)

    def _changed(self, stored: StoredSchedule, changes: Mapping[str, Any]) -> NewSchedule:
        with _as_django():
            return super()._changed(stored, changes)


class BackendPlace(BackendOwner):
    """One alias, as its schedules see it."""

    @property
    def zone(self) -> str:
        """See `Place.zone`: TIME_ZONE."""
        return str(django_settings.TIME_ZONE or "UTC")

    def call(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> Signature:
        """See `Place.call`; options as ``apply_async()`` of a Django task has them."""
        with _as_django():
            return call_of_task(task, args, kwargs, options)

    def resolve(self, signature: Signature) -> Signature:
        """See `Place.resolve`."""
        with _as_django():
            return self._resolved(signature)

    def _resolved(self, signature: Signature) -> Signature:
        origin = signature.origin
        assert isinstance(origin, StreamTask)
        task = origin.called(given_options(signature.options)).routed()
        alias = self._backend.alias
        if task.backend != alias:
            raise InvalidTask(
                f"{signature!r} goes to the backend {task.backend!r}, this schedule belongs to {alias!r}; make it "
                f"there, or say backend={alias!r}."
            )
        self._backend.validate_task(task)
        found = resolve(task, signature, self.settings.tags[0])
        # When each call is due follows from its occurrence.
        headers = {name: value for name, value in found.options.headers.items() if name != RUN_AFTER}
        return replace(found, options=replace(found.options, headers=headers))

    def enqueue(self, message: NewMessage) -> StreamTaskResult:
        """See `Place.enqueue`."""
        self.store.enqueue([message])
        result = self._result(message)
        send(task_enqueued, type(self._backend), result)
        return result

    async def aenqueue(self, message: NewMessage) -> StreamTaskResult:
        """See `Place.aenqueue`."""
        await self.async_store.enqueue([message])
        result = self._result(message)
        await asend(task_enqueued, type(self._backend), result)
        return result

    def _result(self, message: NewMessage) -> StreamTaskResult:
        now_ms = time.time_ns() // 1_000_000
        snapshot = Snapshot(message.id, State.QUEUED, message.envelope, now_ms, wire=self.settings.wire)
        return from_snapshot(snapshot, self._backend.alias)


def call_of_task(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> Signature:
    """Return a call of a task of this project, or of the name of one.

    Raises:
        InvalidTask: there is no such task, or an option is wrong.
    """
    if isinstance(task, str):
        found = known_task(task)
        if found is None:
            raise InvalidTask(f"task is {task!r}, which no tasks.py, TASK_IMPORTS or URLconf of this project defines.")
        task = found
    signature = call_of(task, args, kwargs)
    origin = signature.origin
    if not isinstance(origin, StreamTask):
        raise InvalidTask(f"task is {task!r}, which is no task of a backend of streamtasks.")
    if options:
        said = origin.called(given_options(signature.options)).called(options)
        signature = replace(signature, options=said.options)
    return signature


@contextmanager
def _as_django() -> Generator[None]:
    try:
        yield
    except (InvalidTask, PayloadTooLarge, UnknownQueue):
        raise
    except (EngineInvalidTask, DjangoInvalidTask) as error:
        raise InvalidTask(str(error)) from error
