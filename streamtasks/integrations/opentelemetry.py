"""Traces by OpenTelemetry: one trace from the call, across the server, to what the task does and enqueues itself.

Names and attributes are those of the semantic conventions for messaging (version 1.45):
https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, Final, Self

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
        span = self._tracer.start_span(
            f"send {message.queue}", kind=SpanKind.PRODUCER, attributes=_attributes(message, "send")
        )
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span))
        span.end()
        return replace(message, headers={**message.headers, **carrier}) if carrier else message

    def around_run(self, attempt: Attempt) -> AbstractContextManager[Any]:
        """Return a context in which the span of an attempt is the current one."""
        headers = attempt.message.headers
        parent = headers.get("traceparent")
        if (
            type(parent) is str
            and len(parent) == _TRACEPARENT_LENGTH
            and parent[-1] in _UNSAMPLED_FLAGS
            and "tracestate" not in headers
            and "baggage" not in headers
        ):
            return _Unsampled(parent)
        return self._processing(attempt)

    @contextmanager
    def _processing(self, attempt: Attempt) -> Generator[None]:
        message = attempt.message
        carrier = {name: value for name, value in message.headers.items() if isinstance(value, str)}
        attributes = _attributes(message, "process")
        attributes["messaging.client.id"] = attempt.worker
        attributes["streamtasks.attempt"] = attempt.number
        span = self._tracer.start_span(
            f"process {message.queue}",
            context=propagate.extract(carrier),
            kind=SpanKind.CONSUMER,
            attributes=attributes,
        )
        token = contexts.attach(trace.set_span_in_context(span))
        try:
            yield
        except ControlFlow:
            raise
        except BaseException as error:
            span.set_attribute("error.type", _name(type(error)))
            span.record_exception(error)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            contexts.detach(token)
            span.end()


_TRACEPARENT_LENGTH: Final = 55
_UNSAMPLED_FLAGS: Final = frozenset("02468ace")
"""Last digits of a ``traceparent`` whose trace is not sampled: the last bit of the flags is 0.
Source: https://www.w3.org/TR/trace-context-2/#trace-flags"""


class _Unsampled(trace.NonRecordingSpan):
    """The span of a call that was not sampled, and the context in which it is the current one.

    Most attempts have one, so it does as little as possible: its ids are read when somebody asks for them.
    """

    def __init__(self, traceparent: str) -> None:
        self._traceparent = traceparent

    def get_span_context(self) -> trace.SpanContext:
        """Return the ids of the call; what cannot be read is no trace, as for the propagator."""
        try:
            trace_id, span_id, flags = (int(part, 16) for part in self._traceparent.split("-")[1:])
        except ValueError:
            return trace.INVALID_SPAN_CONTEXT
        return trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags))

    def __enter__(self) -> Self:
        self._token = contexts.attach(trace.set_span_in_context(self, _NO_CONTEXT))
        return self

    def __exit__(self, *_: object) -> None:
        contexts.detach(self._token)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._traceparent}>"


_NO_CONTEXT: Final = contexts.Context()


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


def _name(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
