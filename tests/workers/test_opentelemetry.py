"""Traces: one from a call to all that comes of it; what the spans say."""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry import context as contexts
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from streamtasks import Ignore, Retry, StreamTasks, chord
from streamtasks.integrations.opentelemetry import OpenTelemetry
from streamtasks.protocol.message import Message
from streamtasks.stores.memory import MemoryServer
from streamtasks.tasks.attempt import Attempt, entered
from streamtasks_workers.testing.in_process import InProcessWorker

if TYPE_CHECKING:
    from collections.abc import Callable

URL = "memory://traces"


class Traced:
    """An app whose spans are kept; ``web``: makes the spans of the site that calls it."""

    def __init__(self) -> None:
        MemoryServer.at(URL).flush()
        self._kept = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.web = provider.get_tracer("web")
        self.app = StreamTasks(URL, middleware=[OpenTelemetry(provider)])

    def run(self) -> None:
        InProcessWorker(self.app).run_until_idle()

    def spans(self, kind: SpanKind | None = None) -> list[Any]:
        return [span for span in self._kept.get_finished_spans() if kind in (None, span.kind)]


@pytest.fixture
def traced() -> Traced:
    return Traced()


def test_the_spans_of_a_call(traced: Traced) -> None:
    @traced.app.task(name="shop.pay", queue="money")
    def pay(amount: int) -> int:
        with traced.web.start_as_current_span("inside"):
            return amount

    with traced.web.start_as_current_span("request") as request:
        result = pay.enqueue(3)
    traced.run()
    inside, send, process = (
        next(span for span in traced.spans() if span.name == name) for name in ("inside", "send money", "process money")
    )
    assert send.parent is not None
    assert send.parent.span_id == request.get_span_context().span_id
    assert process.parent is not None
    assert process.parent.span_id == send.get_span_context().span_id
    assert inside.parent is not None
    assert inside.parent.span_id == process.get_span_context().span_id
    assert {span.get_span_context().trace_id for span in traced.spans()} == {request.get_span_context().trace_id}
    assert (send.kind, process.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    common = {
        "messaging.system": "streamtasks",
        "messaging.destination.name": "money",
        "messaging.message.id": result.id,
        "streamtasks.task": "shop.pay",
    }
    assert dict(send.attributes or {}) == {
        **common,
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
    }
    worker = (process.attributes or {})["messaging.client.id"]
    assert dict(process.attributes or {}) == {
        **common,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.client.id": worker,
        "streamtasks.attempt": 1,
    }
    assert process.status.status_code == StatusCode.UNSET


def test_a_chord_belongs_to_the_trace_in_which_it_was_started(traced: Traced) -> None:
    called: list[int] = []

    @traced.app.task(name="inner")
    def inner() -> None:
        called.append(1)

    @traced.app.task(name="member")
    def member(number: int) -> int:
        return number

    @traced.app.task(name="body")
    def body(numbers: list[int]) -> int:
        inner.enqueue()
        return sum(numbers)

    with traced.web.start_as_current_span("request") as request:
        chord([member.s(n) for n in range(3)], body.s()).apply_async()
    traced.run()
    assert called == [1]
    processed = [(span.attributes or {})["streamtasks.task"] for span in traced.spans(SpanKind.CONSUMER)]
    of_members = [
        span.get_span_context().span_id
        for span in traced.spans(SpanKind.PRODUCER)
        if (span.attributes or {})["streamtasks.task"] == "member"
    ]
    linked = {
        (span.attributes or {})["streamtasks.task"]: [link.context.span_id for link in span.links]
        for span in traced.spans(SpanKind.CONSUMER)
    }
    assert linked == {"member": [], "body": of_members, "inner": []}
    assert sorted(processed) == ["body", "inner", "member", "member", "member"]
    assert {span.get_span_context().trace_id for span in traced.spans()} == {request.get_span_context().trace_id}


def test_a_batch_has_a_span_with_links_to_its_calls(traced: Traced) -> None:
    add = traced.app.task(name="add", queue="sums")(lambda a, b: a + b)
    with traced.web.start_as_current_span("request") as request:
        add.enqueue_many([(1, 2), {"a": 3, "b": 4}])
        with pytest.raises(ValueError, match="JSON"):
            add.enqueue_many([(1, 2), (object(), 1)])
    traced.run()
    good, failed = traced.spans(SpanKind.CLIENT)
    created = [span for span in traced.spans(SpanKind.PRODUCER) if span.name == "create sums"]
    assert len(created) == 4
    assert [link.context.span_id for link in good.links] == [one.get_span_context().span_id for one in created[:2]]
    assert dict(good.attributes or {}) == {
        "messaging.system": "streamtasks",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "sums",
        "messaging.batch.message_count": 2,
    }
    assert good.name == failed.name == "send sums"
    assert (good.status.status_code, failed.status.status_code) == (StatusCode.UNSET, StatusCode.ERROR)
    assert good.start_time <= created[0].start_time
    assert {span.parent.span_id for span in (good, *created)} == {request.get_span_context().span_id}
    assert {(span.attributes or {})["messaging.operation.type"] for span in created} == {"create"}
    parents = [span.parent.span_id for span in traced.spans(SpanKind.CONSUMER)]
    assert parents == [one.get_span_context().span_id for one in created[:2]], "what was refused does not run"
    add.enqueue(1, 2)
    assert traced.spans(SpanKind.PRODUCER)[-1].name == "send sums", "one call is no batch"


@pytest.mark.parametrize("carries", [False, True], ids=["flag", "context"])
def test_a_call_that_is_not_sampled_has_no_span_and_nothing_of_it_is_sampled_later(*, carries: bool) -> None:
    MemoryServer.at(URL).flush()
    kept = InMemorySpanExporter()
    web = TracerProvider(sampler=sampling.ParentBasedTraceIdRatio(0))
    provider = TracerProvider()  # a worker whose own decision would be to sample
    provider.add_span_processor(SimpleSpanProcessor(kept))
    app = StreamTasks(URL, middleware=[OpenTelemetry(provider, carry_unsampled=carries)])
    seen: list[SpanContext] = []

    @app.task(name="outer")
    def outer() -> None:
        seen.append(trace.get_current_span().get_span_context())
        with provider.get_tracer("mine").start_as_current_span("inside"):
            inner.enqueue()

    @app.task(name="inner")
    def inner() -> None:
        seen.append(trace.get_current_span().get_span_context())

    with web.get_tracer("web").start_as_current_span("request") as request:
        result = outer.enqueue()
    InProcessWorker(app).run_until_idle()
    expected = request.get_span_context().trace_id if carries else int(result.id[:32], 16)
    assert [one.trace_id for one in seen] == [expected] * 2
    assert [one.is_remote for one in seen] == [True, True]
    assert not any(one.trace_flags.sampled for one in seen)
    assert kept.get_finished_spans() == ()
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize("in_child", [False, True])
def test_a_call_that_is_not_sampled_carries_a_flag(*, in_child: bool) -> None:
    """Of a header of that name which is something else the attempt has a span, as it had before."""
    made = OpenTelemetry(TracerProvider(sampler=sampling.ParentBasedTraceIdRatio(0)))
    sent = made.before_enqueue(Message(id="m", task="task"))
    assert sent.headers == {"ut": 1}

    def run(headers: dict[str, Any], task_id: str = "m", root_id: str = "") -> SpanContext:
        message = Message(id=task_id, task="task", headers=headers, root_id=root_id)
        attempt = Attempt(message, 1, "w", 0, 0, 0)
        with made.in_child() if in_child else nullcontext(), entered(attempt), made.around_run(attempt):
            return trace.get_current_span().get_span_context()

    def seen(*args: Any) -> SpanContext:
        return contextvars.copy_context().run(run, *args)

    flagged = {"user": 7, **sent.headers}
    for task_id, root_id in (("m", ""), ("a1" * 16 + "-u0", ""), ("m", "a1" * 16 + "-u0"), ("0" * 32, "")):
        one = seen(flagged, task_id, root_id)
        assert one.is_valid
        assert (one.is_remote, one.trace_flags.sampled) == (True, False)
        assert one.trace_id == seen(flagged, "other", root_id or task_id).trace_id, "one id for the whole line"
        assert (format(one.trace_id, "032x") == "a1" * 16) == ("a1" in task_id + root_id)
    for other in (7, "short", None, "!" * 22):
        assert not seen({"ut": other}).is_remote


def test_a_call_that_is_repeated_is_sampled_by_its_own_trace() -> None:
    """The headers of the first one come with it."""
    for ratio, expected in ((0, {"ut"}), (1, {"traceparent"})):
        made = OpenTelemetry(TracerProvider(sampler=sampling.ParentBasedTraceIdRatio(ratio)))
        assert made.before_enqueue(Message(id="m", task="task", headers={"ut": 1})).headers.keys() == expected


@pytest.mark.parametrize("flags", ["00", "01"])
@pytest.mark.parametrize(
    ("parent", "more", "is_valid"),
    [
        ("00-" + "a1" * 16 + "-" + "b2" * 8, {}, True),
        ("00-" + "a1" * 16 + "-" + "b2" * 8, {"tracestate": "k=v", "baggage": "user=7"}, True),
        ("00-" + "0" * 32 + "-" + "b2" * 8, {}, False),
        ("ff-" + "a1" * 16 + "-" + "b2" * 8, {}, False),
        ("00-" + "A1" * 16 + "-" + "+_" * 8, {}, False),
        ("no trace", {}, False),
    ],
    ids=["traceparent", "all parts", "zeros", "version", "no numbers", "text"],
)
def test_the_context_of_an_attempt_is_that_of_the_propagator(
    parent: str, more: dict[str, str], flags: str, *, is_valid: bool
) -> None:
    headers = {"traceparent": f"{parent}-{flags}", **more}
    expected = propagate.extract(headers)
    read: list[Callable[[Any], Any]] = [
        dict, list, len, lambda one: one.copy(), lambda one: sorted(one.items()), lambda one: list(one.values()),
        lambda one: [one[name] for name in one], lambda one: contexts.set_value("k", 1, one),
        lambda one: trace.get_current_span(one).get_span_context(), baggage.get_all,
    ]  # fmt: skip

    def run(look: Callable[[Any], Any], *, in_child: bool) -> None:
        attempt = Attempt(Message(id="m", task="task", headers=headers), 1, "w", 0, 0, 0)
        made = OpenTelemetry(TracerProvider())
        with made.in_child() if in_child else nullcontext(), entered(attempt), made.around_run(attempt):
            if flags == "00" and is_valid and not more:
                assert repr(look(contexts.get_current())) == repr(look(expected))
            span = trace.get_current_span()
            assert span.get_span_context().is_valid == (is_valid or span.is_recording())
            if is_valid:
                assert format(span.get_span_context().trace_id, "032x") == "a1" * 16
            assert baggage.get_baggage("user") == ("7" if more else None)

    for look in read:
        for in_child in (False, True):
            contextvars.copy_context().run(run, look, in_child=in_child)  # each attempt has its own


def raised(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "coroutine"])
@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (ValueError("no"), [(StatusCode.ERROR, "ValueError")]),
        (Retry("again", delay_s=0.1), [(StatusCode.UNSET, None)] * 2),
        (Ignore(), [(StatusCode.UNSET, None)]),
        (SystemExit(3), [(StatusCode.ERROR, "SystemExit")]),
    ],
    ids=["error", "retry", "ignore", "exit"],
)
def test_what_failed_and_what_only_goes_on(
    traced: Traced, error: BaseException, ends: list[Any], *, is_async: bool
) -> None:
    fail = raised(error)

    async def afail() -> None:
        await asyncio.sleep(0)
        fail()

    task: Any = traced.app.task(name="fail", max_retries=1)(afail if is_async else fail)
    task.enqueue()
    traced.run()
    spans = traced.spans(SpanKind.CONSUMER)
    assert [(span.status.status_code, (span.attributes or {}).get("error.type")) for span in spans] == ends
    assert [(span.attributes or {})["streamtasks.attempt"] for span in spans] == [n + 1 for n in range(len(ends))]
    assert not trace.get_current_span().get_span_context().is_valid, "nothing is left for the next task"
    failed = ends[0][0] == StatusCode.ERROR
    assert [event.name for span in spans for event in span.events] == (["exception"] if failed else [])


def test_headers_that_are_no_trace(traced: Traced) -> None:
    traced.app.task(name="task")(int).apply_async(headers={"traceparent": 5, "user": 7})
    traced.run()
    [process] = traced.spans(SpanKind.CONSUMER)
    [send] = traced.spans(SpanKind.PRODUCER)
    assert process.parent is not None
    assert process.parent.span_id == send.get_span_context().span_id
