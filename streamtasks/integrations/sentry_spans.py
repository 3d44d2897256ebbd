"""Spans of calls and attempts for Sentry, in both ways of its SDK: transactions, and spans that are streamed.

Names of operations and data are those that Sentry's page "Queues" reads:
https://develop.sentry.dev/sdk/telemetry/traces/modules/queues/
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import sentry_sdk

from ..exceptions import InvalidTask
from ..protocol.json import dumps
from ..protocol.message import Message
from ..tasks.attempt import Attempt

__all__ = ["context_of", "process_span", "publish_span"]

ORIGIN: Final = "auto.queue.streamtasks"
SYSTEM: Final = "streamtasks"
TRANSACTION: Final = "queue.task.streamtasks"
PUBLISH: Final = "queue.publish"
PROCESS: Final = "queue.process"

type Put = Callable[[str, Any], object]
"""Sets a value on a span."""


@contextmanager
def publish_span(message: Message) -> Generator[None]:
    """Return a context with the span of a call. Where nothing is traced, streaming has no span of a call either."""
    if not _streams():
        with sentry_sdk.start_span(op=PUBLISH, name=message.task, origin=ORIGIN) as span:
            _describe(span, span.set_data, message)
            yield
    elif sentry_sdk.get_current_scope().streamed_span is None:
        yield
    else:
        with _streamed(message.task, PUBLISH) as span:
            _describe(span, span.set_attribute, message)
            yield


@contextmanager
def process_span(attempt: Attempt) -> Generator[None]:
    """Return a context with the root span of an attempt, which continues the trace of the call, and one inside."""
    message = attempt.message
    headers = {name: value for name, value in message.headers.items() if isinstance(value, str)}
    sampling = {"streamtasks": context_of(attempt)}
    if not _streams():
        transaction = sentry_sdk.continue_trace(
            headers, op=TRANSACTION, name=message.task, source="task", origin=ORIGIN
        )
        with (
            sentry_sdk.start_transaction(transaction, custom_sampling_context=sampling),
            sentry_sdk.start_span(op=PROCESS, name=message.task, origin=ORIGIN) as span,
        ):
            _describe_attempt(span, span.set_data, attempt)
            yield
        return
    from sentry_sdk import traces  # earlier releases do not have it, and cannot stream

    traces.continue_trace(headers)
    sentry_sdk.Scope.set_custom_sampling_context(sampling)
    root = {"sentry.segment.name.source": "task"}
    with _streamed(message.task, TRANSACTION, root, parent_span=None), _streamed(message.task, PROCESS) as inner:
        _describe_attempt(inner, inner.set_attribute, attempt)
        yield


def context_of(attempt: Attempt) -> dict[str, Any]:
    """Return what events and samplers get to know of an attempt."""
    message = attempt.message
    return {"id": message.id, "task": message.task, "queue": message.queue, "attempt": attempt.number}


def _streams() -> bool:
    """Return whether spans are sent as they end, instead of with their transaction."""
    options: Mapping[str, Any] = sentry_sdk.get_client().options
    chosen = options.get("trace_lifecycle") or (options.get("_experiments") or {}).get("trace_lifecycle")
    return bool(chosen == "stream")


def _streamed(name: str, operation: str, more: Mapping[str, str] | None = None, **options: Any) -> Any:
    from sentry_sdk import traces

    attributes: dict[str, Any] = {"sentry.op": operation, "sentry.origin": ORIGIN, **(more or {})}
    return traces.start_span(name, attributes=attributes, **options)


def _describe_attempt(span: Any, put: Put, attempt: Attempt) -> None:
    _describe(span, put, attempt.message)
    put("messaging.message.retry.count", attempt.number - 1)
    waited_ms = attempt.started_ms - max(attempt.enqueued_ms, attempt.message.due_ms)
    put("messaging.message.receive.latency", max(0, waited_ms))


def _describe(span: Any, put: Put, message: Message) -> None:
    put("messaging.system", SYSTEM)
    put("messaging.destination.name", message.queue)
    put("messaging.message.id", message.id)
    if not span.sampled:
        return  # nobody will see it, and it takes as long as enqueueing to find out how large the message is
    try:
        size = len(dumps([message.args, message.kwargs]))
    except InvalidTask:
        return  # a serializer other than JSON may carry it; else the call is refused later, with a better text
    put("messaging.message.body.size", size)
