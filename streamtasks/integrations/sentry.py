"""Errors and traces by Sentry: nothing to set up but `sentry_sdk.init()`, before the app is made."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Final

import sentry_sdk
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.scope import Scope, should_send_default_pii, use_isolation_scope
from sentry_sdk.utils import event_from_exception

from ..control_flow import ControlFlow
from ..exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from ..protocol.message import Message
from ..protocol.state import State
from ..tasks.attempt import Attempt, AttemptOutcome
from ..tasks.middleware import Middleware
from .sdk import sends_events
from .sentry_crons import check_in
from .sentry_spans import context_of, process_span, publish_span

__all__ = ["Sentry"]

LOGGERS: Final = ("streamtasks.tasks", "django.tasks")
"""Their lines about failures are no events of their own in a worker: the error is one already."""

FLUSH_S: Final = 2.0
"""How long a child that ends waits for its events to be sent, seconds."""

_began: ContextVar[tuple[str, float]] = ContextVar("streamtasks_sentry_began", default=("", 0.0))
"""The id of the task, and when its attempt began, monotonic seconds."""

_scope: ContextVar[Scope | None] = ContextVar("streamtasks_sentry_scope", default=None)
"""That of the attempt: its outcome is known after its context has been left."""


class Sentry(Middleware):
    """Middleware that reports final failures, and makes a transaction of each attempt. Needs the extra ``sentry``.

    An app has it by itself if `sentry_sdk.init()` was called before. Each attempt has an isolation scope of its own,
    with the task's id, name, queue and attempt as its context "streamtasks"; arguments are shown only if the SDK may
    send data of queues (``data_collection``, or ``send_default_pii``). `Retry`, automatic retries, `Ignore` and
    revocations are no events.
    """

    def __init__(self) -> None:
        # The supervisor logs there, and to send an event starts a thread: it must have none when it forks.
        ignore_logger("streamtasks.worker")

    def before_enqueue(self, message: Message) -> Message:
        """Make the span of a call, and put the trace's context into the message's headers."""
        if not _is_active():
            return message
        with publish_span(message):
            headers = dict(sentry_sdk.get_current_scope().iter_trace_propagation_headers())
        return replace(message, headers={**message.headers, **headers}) if headers else message

    def around_run(self, attempt: Attempt) -> AbstractContextManager[None]:
        """Return a context with a scope and a transaction of its own."""
        return _processing(attempt)

    def after_outcome(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """Report a final failure."""
        if _is_active():
            task_id, began = _began.get()
            check_in(attempt.message, outcome.state, time.monotonic() - began if task_id == attempt.id else None)
        error = outcome.error
        if error is None or outcome.state not in (State.FAILURE, State.DEAD) or not _is_active():
            return
        with _scope_of(attempt) as scope:
            if isinstance(error, (SoftTimeLimitExceeded, TimeLimitExceeded)):
                scope.fingerprint = ["streamtasks", type(error).__name__, attempt.message.task]
            event, hint = event_from_exception(
                error,
                client_options=sentry_sdk.get_client().options,
                mechanism={"type": "streamtasks", "handled": False},
            )
            sentry_sdk.capture_event(event, hint=hint)

    def in_child(self) -> AbstractContextManager[None]:
        """Return a context at whose end events are sent."""
        return _reporting_child()


@contextmanager
def _processing(attempt: Attempt) -> Generator[None]:
    if not _is_active():
        yield
        return
    message = attempt.message
    flow: ControlFlow | None = None
    check_in(message, State.STARTED)
    _began.set((message.id, time.monotonic()))
    with sentry_sdk.isolation_scope() as scope:
        _name(scope, attempt)
        _scope.set(scope)
        with process_span(attempt):
            try:
                yield
            except ControlFlow as error:
                flow = error  # out of the spans: to them it would be a failure
    if flow is not None:
        raise flow


@contextmanager
def _scope_of(attempt: Attempt) -> Generator[Scope]:
    """Return a context in which the scope of an attempt is the current one; of one that ended elsewhere, a new one."""
    known = _scope.get()
    if known is not None:
        with use_isolation_scope(known):
            yield known
    else:
        with sentry_sdk.isolation_scope() as scope:
            _name(scope, attempt)
            yield scope


@contextmanager
def _reporting_child() -> Generator[None]:
    for name in LOGGERS:
        ignore_logger(name)
    try:
        yield
    finally:
        sentry_sdk.flush(FLUSH_S)


def _is_active() -> bool:
    return sends_events(sentry_sdk)


def _shows_arguments() -> bool:
    collected = sentry_sdk.get_client().options.get("data_collection")
    return bool(collected["queues"]) if collected else should_send_default_pii()


def _name(scope: Scope, attempt: Attempt) -> None:
    scope.clear_breadcrumbs()
    scope.set_context("streamtasks", context_of(attempt))
    if _shows_arguments():
        scope.set_extra("args", attempt.message.args)
        scope.set_extra("kwargs", attempt.message.kwargs)
