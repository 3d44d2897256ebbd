"""Traces by OpenTelemetry: one trace from the call, across the server, to what the task does and enqueues itself.

Names and attributes are those of the semantic conventions for messaging (version 1.45):
https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Final

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, StatusCode, TracerProvider

from ..control_flow import ControlFlow
from ..protocol.message import Message
from ..tasks.attempt import Attempt
from ..tasks.middleware import Middleware

__all__ = ["OpenTelemetry"]

SYSTEM: Final = "streamtasks"


class OpenTelemetry(Middleware):
    """Middleware that makes a span for each call and one for each attempt. Needs the extra ``otel``.

    The span of a call (``send <queue>``, PRODUCER) stands for the making of the message; the context travels in the
    message's headers (W3C by default). The span of an attempt (``process <queue>``, CONSUMER) is its child, and all
    that the task does is inside: calls of a workflow or of a chord's body belong to the trace in which it was started.

    Calls that are enqueued together have a span each, ``create <queue>`` (PRODUCER), and one for all of them, ``send
    <queue>`` (CLIENT), with links to these.

    An attempt whose call was not sampled has no span of its own, as with the default sampler, which asks the parent.

    An error of the task is recorded and makes the span one that failed; `Retry` and `Ignore` do not.

    Args:
        tracer_provider: makes the spans; None: the global one.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._provider = tracer_provider
        self._made: trace.Tracer | None = None

    @property
    def _tracer(self) -> trace.Tracer:
        # Not before the first use: the provider is often set after settings are read.
        if self._made is None:
            self._made = trace.get_tracer("streamtasks", tracer_provider=self._provider)
        return self._made

    def before_enqueue(self, message: Message) -> Message:
        """Make the span of a call, and put its context into the message's headers."""
        batch = _batch.get()
        operation = "send" if batch is None else "create"
        span = self._tracer.start_span(
            f"{operation} {message.queue}", kind=SpanKind.PRODUCER, attributes=_attributes(message, operation)
        )
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span))
        span.end()
        if batch is not None:
            batch.append((message.queue, span.get_span_context()))
        return replace(message, headers={**message.headers, **carrier}) if carrier else message

    @contextmanager
    def around_enqueue_many(self) -> Generator[None]:
        """Return a context at whose end the span of a batch is made, with links to the spans of its calls."""
        began_ns, batch = time.time_ns(), list[tuple[str, trace.SpanContext]]()
        token = _batch.set(batch)
        failed: BaseException | None = None
        try:
            yield
        except BaseException as error:
            failed = error
            raise
        finally:
            _batch.reset(token)
            if links := [trace.Link(context) for _, context in batch if context.trace_flags.sampled]:
                self._send_batch({queue for queue, _ in batch}, len(batch), links, began_ns, failed)

    def _send_batch(
        self, queues: set[str], count: int, links: list[trace.Link], began_ns: int, failed: BaseException | None
    ) -> None:
        attributes: dict[str, Any] = {**_OF_SEND, "messaging.batch.message_count": count}
        name = "send"
        if len(queues) == 1:
            [attributes["messaging.destination.name"]] = queues
            name = f"send {attributes['messaging.destination.name']}"
        span = self._tracer.start_span(
            name, kind=SpanKind.CLIENT, attributes=attributes, links=links, start_time=began_ns
        )
        if failed is not None:
            _fail(span, failed)
        span.end()

    def around_run(self, attempt: Attempt) -> AbstractContextManager[Any]:
        """Return a context in which the span of an attempt is the current one."""
        headers = attempt.message.headers
        parent = headers.get("traceparent")
        if len(headers) > 1 and not headers.keys().isdisjoint(_OTHER_PARTS):
            parent = None
        if type(parent) is not str or len(parent) != _TRACEPARENT_LENGTH:
            carrier = {name: value for name, value in headers.items() if isinstance(value, str)}
            return self._processing(attempt, propagate.extract(carrier))
        context = _CallContext()
        context.traceparent = parent
        return context if parent[-1] in _UNSAMPLED_FLAGS else self._processing(attempt, context)

    @contextmanager
    def _processing(self, attempt: Attempt, context: contexts.Context) -> Generator[None]:
        message = attempt.message
        attributes = _attributes(message, "process")
        attributes["messaging.client.id"] = attempt.worker
        attributes["streamtasks.attempt"] = attempt.number
        span = self._tracer.start_span(
            f"process {message.queue}",
            context=context,
            kind=SpanKind.CONSUMER,
            attributes=attributes,
        )
        token = contexts.attach(trace.set_span_in_context(span, context))
        try:
            yield
        except ControlFlow:
            raise
        except BaseException as error:
            _fail(span, error)
            raise
        finally:
            contexts.detach(token)
            span.end()


_TRACEPARENT_LENGTH: Final = 55
_UNSAMPLED_FLAGS: Final = frozenset("02468ace")
"""Last digits of a ``traceparent`` whose trace is not sampled: the last bit of the flags is 0.
Source: https://www.w3.org/TR/trace-context-2/#trace-flags"""

_is_traceparent: Final = re.compile("(?!ff)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}").fullmatch
_OTHER_PARTS: Final = ("tracestate", "baggage")
"""Headers that belong to a context, too."""


def _filled(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of dict that puts the span in first."""

    def call(context: _CallContext, *args: Any) -> Any:
        context.fill()
        return method(context, *args)

    return call


class _CallContext(contexts.Context):
    """The context of a call, of which only a ``traceparent`` is known; entered, it is the current one.

    Nearly every attempt of a call that was not sampled needs no more, so it is read when somebody asks for the span. At
    the end nothing is put back, because each attempt has a `contextvars.Context` of its own.
    """

    __slots__ = ("traceparent",)
    traceparent: str

    def fill(self) -> None:
        """Put the span of the call in; what cannot be read is no trace, as for the propagator."""
        if dict.__len__(self):
            return
        context = trace.INVALID_SPAN_CONTEXT
        if _is_traceparent(self.traceparent):
            trace_id, span_id, flags = (int(part, 16) for part in self.traceparent.split("-")[1:])
            context = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags))
        dict.__setitem__(self, _CURRENT_SPAN, trace.NonRecordingSpan(context))

    def __enter__(self) -> None:
        contexts.attach(self)

    def __exit__(self, *_: object) -> None:
        return

    # All by which something is read of a dict.
    get: Any = _filled(dict.get)
    copy: Any = _filled(dict.copy)
    keys: Any = _filled(dict.keys)
    values: Any = _filled(dict.values)
    items: Any = _filled(dict.items)
    __getitem__: Any = _filled(dict.__getitem__)
    __contains__: Any = _filled(dict.__contains__)
    __iter__: Any = _filled(dict.__iter__)
    __len__: Any = _filled(dict.__len__)
    __repr__: Any = _filled(dict.__repr__)


[_CURRENT_SPAN] = trace.set_span_in_context(trace.INVALID_SPAN, contexts.Context())
"""Where a context has its span."""


_OF_SEND: Final = {
    "messaging.system": SYSTEM,
    "messaging.operation.name": "send",
    "messaging.operation.type": "send",
}

_batch: Final[ContextVar[list[tuple[str, trace.SpanContext]] | None]] = ContextVar("streamtasks_batch", default=None)
"""Queue and span of each call that was made since a batch began; None: there is no batch."""


def _attributes(message: Message, operation: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": message.queue,
        "messaging.message.id": message.id,
        "streamtasks.task": message.task,
    }
    if message.root_id:
        attributes["messaging.message.conversation_id"] = message.root_id
    return attributes


def _fail(span: trace.Span, error: BaseException) -> None:
    span.set_attribute("error.type", _name(type(error)))
    span.record_exception(error)
    span.set_status(StatusCode.ERROR)


def _name(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
