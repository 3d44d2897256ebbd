"""Traces by OpenTelemetry: one trace from the call, across the server, to what the task does and enqueues itself.

Names and attributes are those of the semantic conventions for messaging (version 1.45):
https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Final

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, StatusCode, TracerProvider

from ..control_flow import ControlFlow
from ..protocol.message import Message
from ..tasks.attempt import Attempt, running_attempt
from ..tasks.middleware import MOST_FOLLOWED, Middleware, as_async, built_workflow

__all__ = ["OpenTelemetry"]

SYSTEM: Final = "streamtasks"


class OpenTelemetry(Middleware):
    """Middleware that makes a span for each call and one for each attempt. Needs the extra ``otel``.

    The span of a call (``send <queue>``, PRODUCER) stands for the making of the message; the context travels in the
    message's headers (W3C by default; of a trace that is not sampled only that, as ``"ut": 1``). The span of an attempt
    (``process <queue>``, CONSUMER) is its child, and all that the task does is inside: calls of a workflow or of a
    chord's body belong to the trace in which it was started.

    Calls that are enqueued together have a span each, ``create <queue>`` (PRODUCER), and one for all of them, ``send
    <queue>`` (CLIENT), with links to these.

    What follows a group, as a chord's body does, has links to the spans of the group's calls, of the first 32.

    An attempt whose call was not sampled has no span of its own, as with the default sampler, which asks the parent. In
    it the current span is one that nobody records, and its trace id is the id of the task, or of the first one of those
    that enqueued each other, so that lines of logs that name it belong together.

    An error of the task is recorded and makes the span one that failed; `Retry` and `Ignore` do not.

    Args:
        tracer_provider: makes the spans; None: the global one.
        carry_unsampled: the context of a trace that is not sampled travels, too, so that its id is the same in the
            worker; each such message is 65 bytes larger.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None, *, carry_unsampled: bool = False) -> None:
        self._provider = tracer_provider
        self._has_flag = not carry_unsampled
        self._made: trace.Tracer | None = None
        self._is_lazy = False

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
        carrier: dict[str, Any] = {}
        propagate.inject(carrier, trace.set_span_in_context(span))
        span.end()
        workflow = built_workflow.get()
        if workflow is not None and span.get_span_context().trace_flags.sampled:
            links = [workflow.notes[one] for one in workflow.follows if one in workflow.notes]
            if links:
                carrier[_LINKS] = " ".join(links)
            workflow.notes[message.id] = _link_of(span.get_span_context())
        if batch is not None:
            batch.append((message.queue, span.get_span_context()))
        if not carrier:
            return message
        if self._has_flag and len(carrier) == 1 and carrier.get("traceparent", "1")[-1] in _UNSAMPLED_FLAGS:
            carrier = {_UNSAMPLED: 1}
        headers = {**message.headers, **carrier}
        if _UNSAMPLED not in carrier:
            headers.pop(_UNSAMPLED, None)  # of the call that is repeated
        return replace(message, headers=headers)

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

    @contextmanager
    def in_child(self) -> Generator[None]:
        """Return a context in which the context of a call that was not sampled is made when somebody asks for it."""
        token = contexts.attach(_CALL)
        self._is_lazy = True
        try:
            yield
        finally:
            self._is_lazy = False
            contexts.detach(token)

    def around_run(self, attempt: Attempt) -> AbstractContextManager[Any]:
        """Return a context in which the span of an attempt is the current one."""
        if self._is_lazy and attempt.message.headers.get(_UNSAMPLED) == 1:
            return _NOTHING  # nearly every attempt
        return self._around(attempt)

    def around_run_async(self, attempt: Attempt) -> AbstractAsyncContextManager[Any]:
        """Return the same for a coroutine task; its event loop may be on a thread that does not have `in_child`."""
        return as_async(self._around(attempt))

    def _around(self, attempt: Attempt) -> AbstractContextManager[Any]:
        headers = attempt.message.headers
        if headers.get(_UNSAMPLED) == 1:
            return _NOT_SAMPLED
        parent = headers.get("traceparent")
        if len(headers) > 1 and not headers.keys().isdisjoint(_OTHER_PARTS):
            parent = None
        if type(parent) is not str or len(parent) != _TRACEPARENT_LENGTH:
            carrier = {name: value for name, value in headers.items() if isinstance(value, str)}
            return self._processing(attempt, propagate.extract(carrier))
        return _NOT_SAMPLED if parent[-1] in _UNSAMPLED_FLAGS else self._processing(attempt, _context_of(parent))

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
            links=_links_in(message.headers.get(_LINKS)),
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


_UNSAMPLED: Final = "ut"
"""The header of a call that was not sampled, in place of ``traceparent``; its value is 1.

Most are not, and each byte is stored, copied and read several times. The id of a trace that nobody keeps would be of
use for lines of logs alone. Without any header the worker would decide anew, and sample more than it was told to.
"""

_LOW_BITS: Final = (1 << 64) - 1
_begins_with_number: Final = re.compile("[0-9a-f]{32}").match


def _unsampled_context(root_id: str) -> contexts.Context:
    """Return the context of a call that was not sampled; ``root_id``: of the first task of its line."""
    number = root_id[:32] if _begins_with_number(root_id) else blake2b(root_id.encode(), digest_size=16).hexdigest()
    trace_id = int(number, 16) or 1
    # Which span it was does not matter: nobody has kept it.
    span = trace.SpanContext(trace_id, trace_id & _LOW_BITS or 1, is_remote=True)
    return trace.set_span_in_context(trace.NonRecordingSpan(span), contexts.Context())


_TRACEPARENT_LENGTH: Final = 55
_UNSAMPLED_FLAGS: Final = frozenset("02468ace")
"""Last digits of a ``traceparent`` whose trace is not sampled: the last bit of the flags is 0.
Source: https://www.w3.org/TR/trace-context-2/#trace-flags"""

_is_traceparent: Final = re.compile("(?!ff)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}").fullmatch
_OTHER_PARTS: Final = ("tracestate", "baggage")
"""Headers that belong to a context, too."""


def _context_of(parent: str) -> contexts.Context:
    """Return the context of a ``traceparent``; what cannot be read is no trace."""
    span = trace.INVALID_SPAN_CONTEXT
    if _is_traceparent(parent):
        trace_id, span_id, flags = (int(part, 16) for part in parent.split("-")[1:])
        span = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags))
    return trace.set_span_in_context(trace.NonRecordingSpan(span), contexts.Context())


def _asked(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of dict that is called of the context of the attempt that runs."""

    def call(context: _CallContext, *args: Any) -> Any:
        return method(context.now(), *args)

    return call


class _CallContext(contexts.Context):
    """The context of the call that is running, if it was not sampled; one for all attempts.

    Nearly every attempt of a call that was not sampled needs no more, so it is read when somebody asks for the span.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        super().__init__()
        self._known = ("", contexts.Context())

    def now(self) -> contexts.Context:
        """Return the context of the running attempt; an empty one if there is none."""
        attempt = running_attempt()
        if attempt is None:
            return contexts.Context()
        message = attempt.message
        is_flagged = message.headers.get(_UNSAMPLED) == 1
        parent = (message.root_id or message.id) if is_flagged else message.headers.get("traceparent")
        if type(parent) is not str:
            return contexts.Context()
        known, context = self._known
        if known != parent:
            context = _unsampled_context(parent) if is_flagged else _context_of(parent)
            self._known = (parent, context)
        return context

    # All by which something is read of a dict.
    get: Any = _asked(dict.get)
    copy: Any = _asked(dict.copy)
    keys: Any = _asked(dict.keys)
    values: Any = _asked(dict.values)
    items: Any = _asked(dict.items)
    __getitem__: Any = _asked(dict.__getitem__)
    __contains__: Any = _asked(dict.__contains__)
    __iter__: Any = _asked(dict.__iter__)
    __len__: Any = _asked(dict.__len__)
    __repr__: Any = _asked(dict.__repr__)


class _NotSampled(AbstractContextManager[None]):
    """The context of an attempt whose call was not sampled.

    At the end nothing is put back, because each attempt has a `contextvars.Context` of its own.
    """

    def __enter__(self) -> None:
        contexts.attach(_CALL)

    def __exit__(self, *_: object) -> None:
        return


_CALL: Final = _CallContext()
_NOT_SAMPLED: Final = _NotSampled()
_NOTHING: Final = nullcontext()

_LINKS: Final = "streamtasks-links"
"""The header with the spans of the calls that a call follows: ``<trace id>-<span id>``, separated by spaces."""

_is_link: Final = re.compile("[0-9a-f]{32}-[0-9a-f]{16}").fullmatch


def _link_of(context: trace.SpanContext) -> str:
    return f"{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}"


def _links_in(header: Any) -> list[trace.Link]:
    """Return the links in a header; what cannot be read is none."""
    if not isinstance(header, str):
        return []
    links = []
    for word in filter(_is_link, header.split(" ")[:MOST_FOLLOWED]):
        trace_id, span_id = (int(part, 16) for part in word.split("-"))
        context = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=_SAMPLED)
        links.append(trace.Link(context))
    return links


_SAMPLED: Final = trace.TraceFlags(trace.TraceFlags.SAMPLED)


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
