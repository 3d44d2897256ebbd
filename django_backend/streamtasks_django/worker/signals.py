"""Django's task signals, sent around the attempts that a worker runs; they can be imported from here as well."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, override

from django.utils import timezone

from streamtasks import Attempt, AttemptOutcome, Middleware, State, StoreError
from streamtasks.protocol.errors import describe
from streamtasks.protocol.state import Snapshot

from ..enqueue.signal_dispatch import asend, send
from ..framework import (
    TaskResultStatus,
    log_task_finished,
    log_task_started,
    task_enqueued,
    task_finished,
    task_started,
)
from ..tasks.registry import find_task
from ..tasks.snapshot_results import STATUS, from_attempt, task_error

if TYPE_CHECKING:
    from ..enqueue.store_alias import StoreAlias
    from ..framework import TaskResult

__all__ = ["Signals", "task_enqueued", "task_finished", "task_started"]

logger = logging.getLogger("streamtasks.django")

_running: ContextVar[TaskResult[..., Any] | None] = ContextVar("streamtasks_django_running", default=None)
_NO_CONTEXT: nullcontext[None] = nullcontext()


class Signals(Middleware):
    """Send ``task_started`` for every attempt and ``task_finished`` for the last, with the backend's class as sender.

    Where tasks run without a worker, the logger ``django.tasks`` is fed by these signals; a worker's children log
    attempts themselves. Django logs an error of a receiver, which changes nothing. The result of an attempt is one
    object: the signals carry it, and a task with ``takes_context`` receives it. Of a first attempt it is made when
    something asks for it: making it takes longer than running a short task.
    """

    def __init__(self, backend: StoreAlias) -> None:
        self._backend = backend
        self._sender = type(backend)

    def result_of(self, attempt: Attempt) -> TaskResult[..., Any]:
        """Return the result of the attempt that is running here."""
        result = _running.get()
        if result is None or result.id != attempt.id:  # it runs without this middleware
            result = self._begin(attempt, [])
        return result

    @override
    def in_child(self) -> AbstractContextManager[None]:
        """Let Django not log what the child logs itself, with queue, attempt and runtime."""
        task_started.disconnect(log_task_started)
        task_finished.disconnect(log_task_finished)
        return _NO_CONTEXT

    @override
    def around_run(self, attempt: Attempt) -> AbstractContextManager[None]:
        """Send ``task_started`` for an attempt."""
        if attempt.number == 1 and not task_started.receivers:
            return _NO_CONTEXT
        reports: list[dict[str, Any]] = []
        if attempt.number > 1:
            try:
                reports = _reports(self._backend.stores.plain.read((attempt.id,)))
            except StoreError as error:
                _no_reports(attempt, error)
        send(task_started, self._sender, self._begin(attempt, reports))
        return _NO_CONTEXT

    @override
    def around_run_async(self, attempt: Attempt) -> AbstractAsyncContextManager[None]:
        """Send ``task_started`` for an attempt of a coroutine task."""
        if attempt.number == 1 and not task_started.receivers:
            return _NO_CONTEXT
        return self._started(attempt)

    @asynccontextmanager
    async def _started(self, attempt: Attempt) -> AsyncGenerator[None]:
        reports: list[dict[str, Any]] = []
        if attempt.number > 1:
            try:
                reports = _reports(await self._backend.stores.asynchronous.read((attempt.id,)))
            except StoreError as error:
                _no_reports(attempt, error)
        await asend(task_started, self._sender, self._begin(attempt, reports))
        yield

    @override
    def after_outcome(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """Send ``task_finished`` for a final outcome."""
        if outcome.state != State.RETRY and task_finished.receivers:
            send(task_finished, self._sender, self._end(attempt, outcome))

    @override
    async def after_outcome_async(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """Send ``task_finished`` for a final outcome of a coroutine task."""
        if outcome.state != State.RETRY and task_finished.receivers:
            await asend(task_finished, self._sender, self._end(attempt, outcome))

    def _begin(self, attempt: Attempt, reports: list[dict[str, Any]]) -> TaskResult[..., Any]:
        task = find_task(attempt.message.task)
        assert task is not None  # the worker found it to run it
        result = from_attempt(attempt, task, self._backend.alias, reports)
        _running.set(result)
        return result

    def _end(self, attempt: Attempt, outcome: AttemptOutcome) -> TaskResult[..., Any]:
        put = object.__setattr__
        result = self.result_of(attempt)
        put(result, "decided", outcome.state)
        put(result, "raised", outcome.error)
        put(result, "status", STATUS[outcome.state])
        put(result, "finished_at", timezone.now())
        if outcome.state == State.SUCCESS:
            put(result, "_return_value", outcome.value)
        elif result.status == TaskResultStatus.FAILED and outcome.error is not None:
            result.errors.append(task_error(describe(outcome.error)))
        return result


def _reports(snapshots: list[Snapshot | None]) -> list[dict[str, Any]]:
    return snapshots[0].reports if snapshots[0] is not None else []


def _no_reports(attempt: Attempt, error: StoreError) -> None:
    logger.warning("The earlier attempts of task %s could not be read; it runs without them: %s", attempt.id, error)
