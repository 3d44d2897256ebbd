"""Sentry: what reaches it after nothing but `sentry_sdk.init()`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import sentry_sdk
from sentry_sdk import traces
from sentry_sdk.transport import Transport

from streamtasks import Ignore, Retry, StreamTasks
from streamtasks.integrations.sentry_crons import SWITCH, monitor_of
from streamtasks.schedules.rules import crontab, every
from streamtasks.stores.memory import MemoryServer
from streamtasks_workers.testing.in_process import InProcessWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sentry_sdk.envelope import Envelope

URL = "memory://sentry"


class Kept(Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.items += [item.payload.json for item in envelope.items if item.payload.json]

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [item for item in self.items if "exception" in item]

    @property
    def transactions(self) -> list[dict[str, Any]]:
        return [item for item in self.items if item.get("type") == "transaction"]

    @property
    def streamed(self) -> list[dict[str, Any]]:
        """Streamed spans, each with its attributes as plain values."""
        sentry_sdk.flush()
        return [
            {**span, "attributes": {name: one["value"] for name, one in span["attributes"].items()}}
            for item in self.items
            for span in item.get("items", ())
            if "span_id" in span
        ]


def set_up(transport: Transport, **options: Any) -> None:
    sentry_sdk.init(
        "http://key@127.0.0.1:1/1",
        transport=transport,
        traces_sample_rate=1.0,
        default_integrations=False,  # they patch this process, which other tests use
        **options,
    )


@pytest.fixture
def kept() -> Iterator[Kept]:
    """Sentry as a site sets it up, with another transport."""
    made = Kept()
    MemoryServer.at(URL).flush()
    with sentry_sdk.isolation_scope():
        set_up(made)
        yield made
        sentry_sdk.get_global_scope().set_client(None)


def run(app: StreamTasks) -> None:
    InProcessWorker(app).run_until_idle()


def raising(error: BaseException, *, is_async: bool) -> Callable[[], Any]:
    def fail() -> None:
        raise error

    async def afail() -> None:
        await asyncio.sleep(0)
        raise error

    return afail if is_async else fail


each_kind = pytest.mark.parametrize("is_async", [False, True], ids=["plain", "coroutine"])


@each_kind
def test_a_call_and_its_attempt(kept: Kept, *, is_async: bool) -> None:
    app = StreamTasks(URL)

    async def apay(amount: int) -> int:
        return await asyncio.sleep(0, amount)

    def pay(amount: int) -> int:
        return amount

    task: Any = app.task(name="shop.pay", queue="money")(apay if is_async else pay)
    with sentry_sdk.start_transaction(op="http.server", name="/buy"):
        result = task.enqueue(3)
    run(app)
    web, worker = kept.transactions
    assert (web["transaction"], worker["transaction"]) == ("/buy", "shop.pay")
    [published], [processed] = web["spans"], worker["spans"]
    common = {
        "messaging.system": "streamtasks",
        "messaging.destination.name": "money",
        "messaging.message.id": result.id,
    }
    assert published["op"] == "queue.publish"
    common["messaging.message.body.size"] = len(b"[[3],{}]")
    assert common.items() <= published["data"].items()
    assert processed["op"] == "queue.process"
    latency_ms = processed["data"]["messaging.message.receive.latency"]
    assert {**common, "messaging.message.retry.count": 0}.items() <= processed["data"].items()
    assert 0 <= latency_ms < 60_000
    trace = worker["contexts"]["trace"]
    assert (trace["op"], trace["origin"]) == ("queue.task.streamtasks", "auto.queue.streamtasks")
    assert trace["trace_id"] == web["contexts"]["trace"]["trace_id"]
    assert trace["parent_span_id"] == published["span_id"]
    assert worker["contexts"]["streamtasks"] == {"id": result.id, "task": "shop.pay", "queue": "money", "attempt": 1}
    assert "extra" not in worker or "args" not in worker["extra"]
    assert kept.errors == []


@each_kind
def test_a_call_and_its_attempt_in_streamed_spans(kept: Kept, *, is_async: bool) -> None:
    sampled: list[Any] = []

    def sampler(context: Any) -> float:
        sampled.append(context.get("streamtasks"))
        return 1.0

    set_up(kept, trace_lifecycle="stream", traces_sampler=sampler)
    app = StreamTasks(URL)
    tries: list[int] = []

    def pay(amount: int) -> int:
        tries.append(amount)
        if len(tries) == 1:
            raise Retry(delay_s=0)
        raise ValueError

    async def apay(amount: int) -> int:
        await asyncio.sleep(0)
        return pay(amount)

    task: Any = app.task(name="shop.pay", queue="money", max_retries=1)(apay if is_async else pay)
    task.enqueue(3).revoke()  # nothing is traced here: only the attempt would have spans
    with traces.start_span("/buy", parent_span=None) as web:
        result = task.enqueue(3)
    run(app)
    shown: list[dict[str, Any]] = [
        {**span["attributes"], "name": span["name"], "status": span["status"], "parent": span.get("parent_span_id")}
        for span in kept.streamed
    ]
    published, _, first, root, second, last = shown
    ids = {span["attributes"].get("messaging.message.id"): span["trace_id"] for span in kept.streamed}
    assert ids == {result.id: web.trace_id, None: web.trace_id}, "all of it is one trace"
    common = {
        "messaging.system": "streamtasks",
        "messaging.destination.name": "money",
        "messaging.message.id": result.id,
        "messaging.message.body.size": len(b"[[3],{}]"),
        "sentry.origin": "auto.queue.streamtasks",
        "name": "shop.pay",
    }
    assert {**common, "sentry.op": "queue.publish", "parent": web.span_id}.items() <= published.items()
    for span, retries, status in ((first, 0, "ok"), (second, 1, "error")):
        expected = {"sentry.op": "queue.process", "messaging.message.retry.count": retries, "status": status}
        assert {**common, **expected}.items() <= span.items()
        assert 0 <= span["messaging.message.receive.latency"] < 60_000
    for span, status in ((root, "ok"), (last, "error")):
        assert (span["sentry.op"], span["sentry.segment.name.source"]) == ("queue.task.streamtasks", "task")
        assert (span["name"], span["status"]) == ("shop.pay", status)
        assert span["parent"] == kept.streamed[0]["span_id"]
    assert [event["contexts"]["streamtasks"]["attempt"] for event in kept.errors] == [2]
    assert {"id": result.id, "task": "shop.pay", "queue": "money", "attempt": 2} in sampled


@each_kind
@pytest.mark.parametrize(
    ("error", "attempts", "errors"),
    [(ValueError("no"), 1, 1), (KeyError("k"), 2, 1), (Retry("later", delay_s=0.1), 2, 1), (Ignore(), 1, 0)],
    ids=["failure", "automatic retries", "retry", "ignore"],
)
def test_only_final_failures_are_events(
    kept: Kept, error: BaseException, attempts: int, errors: int, *, is_async: bool
) -> None:
    app = StreamTasks(URL)
    task: Any = app.task(name="fail", max_retries=1, autoretry_for=(KeyError,), retry_backoff=0.01)(
        raising(error, is_async=is_async)
    )
    result = task.enqueue()
    run(app)
    assert [one["contexts"]["streamtasks"]["attempt"] for one in kept.transactions] == [n + 1 for n in range(attempts)]
    assert len(kept.errors) == errors
    for event in kept.errors:
        [*_, shown] = event["exception"]["values"]
        assert shown["mechanism"] == {"type": "streamtasks", "handled": False}
        assert event["contexts"]["streamtasks"] == {
            "id": result.id, "task": "fail", "queue": "default", "attempt": attempts
        }  # fmt: skip
        assert event["contexts"]["trace"]["trace_id"] == kept.transactions[-1]["contexts"]["trace"]["trace_id"]


def test_breadcrumbs_and_tags_stay_with_their_attempt(kept: Kept) -> None:
    app = StreamTasks(URL)

    @app.task(name="leave")
    def leave() -> None:
        sentry_sdk.set_tag("left", "yes")
        sentry_sdk.add_breadcrumb(message="a breadcrumb")

    @app.task(name="fail")
    def fail() -> None:
        sentry_sdk.add_breadcrumb(message="its own")
        raise ValueError

    leave.enqueue()
    fail.enqueue()
    run(app)
    [event] = kept.errors
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["its own"]
    assert "left" not in event.get("tags", {})


def test_arguments_are_shown_if_personal_data_may_be(kept: Kept) -> None:
    set_up(kept, data_collection={"queues": True})
    app = StreamTasks(URL)
    app.task(name="fail")(lambda secret: 1 // secret).enqueue(0)
    run(app)
    [event] = kept.errors
    assert event["extra"]["args"] == [0]


def test_without_sentry_an_app_has_no_middleware() -> None:
    assert StreamTasks(URL).middleware == []


@each_kind
def test_each_occurrence_of_a_schedule_is_a_check_in(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    app = StreamTasks(URL)
    tries: list[int] = []

    def work() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise Retry(delay_s=0)

    async def awork() -> None:
        await asyncio.sleep(0)
        work()

    good = app.task(name="good")(awork if is_async else work)
    bad = app.task(name="bad")(raising(ValueError("no"), is_async=is_async))
    app.schedules.create("Nightly: Report", good, crontab(hour=3, minute=0, tz="Europe/Vienna"))
    app.schedules.create("quarter", bad, every(900))
    app.schedules.create("too often", bad, every(1.5))
    for name in ("Nightly: Report", "quarter", "too often"):
        app.schedules.run_now(name)
    bad.enqueue()
    run(app)
    sent = [item for item in kept.items if "monitor_slug" in item]
    found: dict[str, list[Any]] = {}
    for one in sent:
        found.setdefault(one["monitor_slug"], []).append(one["status"])
        assert len({other["check_in_id"] for other in sent if other["monitor_slug"] == one["monitor_slug"]}) == 1
    assert found == {"nightly-report": ["in_progress", "in_progress", "ok"], "quarter": ["in_progress", "error"]}
    configs = {one["monitor_slug"]: one["monitor_config"] for one in sent}
    assert configs["nightly-report"] == {
        "schedule": {"type": "crontab", "value": "0 3 * * *"},
        "timezone": "Europe/Vienna",
    }
    assert configs["quarter"] == {"schedule": {"type": "interval", "value": 15, "unit": "minute"}}
    assert all(one["duration"] >= 0 for one in sent if one["status"] != "in_progress")
    assert monitor_of(crontab(minute=0, day_of_week="mon", day_of_month=1).as_dict()) is None
    assert monitor_of({"every": "day"}) is None
    kept.items.clear()
    monkeypatch.setenv(SWITCH, "0")
    app.schedules.run_now("quarter")
    run(app)
    assert [item for item in kept.items if "monitor_slug" in item] == []
