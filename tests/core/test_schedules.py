"""``app.schedules`` on every kind of store, and what apps declare."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streamtasks import Message, Middleware, StreamTasks, chain
from streamtasks.exceptions import (
    ConfigurationError,
    InvalidTask,
    ScheduleDeclared,
    ScheduleExists,
    ScheduleNotFound,
)
from streamtasks.schedules import crontab, every
from streamtasks.schedules.definition import Definition
from streamtasks.schedules.schedules import Schedule, Schedules
from streamtasks.stores.factory import clock_ms, open_supervisor_store
from streamtasks.stores.schedule_store import NewSchedule, PutResult

NIGHTLY = crontab(hour=3, minute=0)


class Twin:
    """The same calls by their asynchronous twins."""

    def __init__(self, schedules: Schedules, run: Callable[[Any], Any]) -> None:
        self._schedules, self._run = schedules, run

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._schedules, f"a{name}")
        return lambda *args, **kwargs: self._run(method(*args, **kwargs))


@pytest.fixture(params=["sync", "async"])
def schedules(request: pytest.FixtureRequest, app: StreamTasks) -> Iterator[Any]:
    if request.param == "sync":
        yield app.schedules
        return
    with asyncio.Runner() as runner:
        yield Twin(app.schedules, runner.run)


@pytest.fixture
def report(app: StreamTasks) -> Any:
    @app.task(name="shop.report", queue="reports")
    def report(*args: Any, **kwargs: Any) -> None: ...

    return report


def test_a_life(schedules: Any, app: StreamTasks, report: Any) -> None:
    before = datetime.now(UTC)
    made = schedules.create(
        "nightly", report, NIGHTLY, [1], {"user": 7}, misfire="skip", misfire_bound=timedelta(hours=2), priority=5
    )
    assert made == schedules.get("nightly") == schedules.list()[0] == Schedule(
        name="nightly", task="shop.report", args=(1,), kwargs={"user": 7}, options=made.options,
        rule=crontab(hour=3, minute=0, tz="UTC"), misfire="skip", misfire_bound=timedelta(hours=2),
        next_run=NIGHTLY.next_after(before),
    )  # fmt: skip
    assert made.options == {"queue": "reports", "priority": 5}
    changed = schedules.update("nightly", schedule=every(60), kwargs={"user": 8}, queue="slow", misfire="all")
    assert (changed.rule, changed.args, changed.kwargs) == (every(60), (1,), {"user": 8})
    assert (changed.options, changed.misfire, changed.misfire_bound) == (
        {"queue": "slow", "priority": 5}, "all", timedelta(hours=2),
    )  # fmt: skip
    assert changed.next_run <= datetime.now(UTC) + timedelta(minutes=1)
    schedules.delete("nightly")
    assert schedules.list() == []
    for name, more in [("get", ()), ("delete", ()), ("pause", ()), ("resume", ()), ("run_now", ()), ("update", ())]:
        with pytest.raises(ScheduleNotFound, match="There is no schedule 'nightly' in the app"):
            getattr(schedules, name)("nightly", *more)


def test_a_name_is_given_once(schedules: Any, report: Any) -> None:
    made = schedules.create("tick", report, 60)
    assert schedules.create("tick", report, 60) == made, "the same, as after a lost reply"
    for more in ({"schedule": 61}, {"schedule": 60, "args": [1]}):
        with pytest.raises(ScheduleExists, match="There is a schedule 'tick'"):
            schedules.create("tick", report, **more)
    assert schedules.get("tick") == made


def test_a_change_of_the_task_starts_anew(schedules: Any, app: StreamTasks, report: Any) -> None:
    @app.task(name="shop.other", priority=2)
    def other(*args: Any) -> None: ...

    made = schedules.create("tick", report, NIGHTLY, [1], queue="slow", headers={"a": 1})
    assert schedules.update("tick", misfire="all").next_run == made.next_run
    changed = schedules.update("tick", task=other, args=[2])
    assert (changed.task, changed.args, changed.options) == ("shop.other", (2,), {"queue": "default", "priority": 2})
    assert (changed.next_run, changed.misfire) == (made.next_run, "all")
    by_name = schedules.update("tick", task="shop.report")
    assert (by_name.task, by_name.args, by_name.options) == ("shop.report", (), {"queue": "reports", "priority": 0})


def test_changes_of_many_at_once_all_count(app: StreamTasks, report: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    app.schedules.create("tick", report, 60)
    put, meddled = app.store.put_schedule, 0

    def meddle(new: Any, revision: int) -> PutResult:
        nonlocal meddled
        meddled += 1
        if meddled < 4:
            [stored] = app.store.schedules(["tick"])
            assert stored is not None
            other = Definition.decode(stored.definition, "tick")
            changed = Definition(name="tick", rule=other.rule, call={**other.call, "args": [meddled]})
            put(changed.new_schedule(0), stored.revision)
        return put(new, revision)

    monkeypatch.setattr(app.store, "put_schedule", meddle)
    changed = app.schedules.update("tick", queue="slow")
    assert (changed.args, changed.options["queue"], meddled) == ((3,), "slow", 4)


def test_pausing(schedules: Any, report: Any) -> None:
    schedules.create("tick", report, every(0.1))
    schedules.pause("tick")
    schedules.pause("tick")
    paused = schedules.get("tick")
    assert (paused.paused, paused.next_run) == (True, None)
    assert schedules.update("tick", schedule=every(3600)).paused
    before = datetime.now(UTC)
    schedules.resume("tick")
    going = schedules.get("tick")
    assert (going.paused, going.next_run) == (False, every(3600).next_after(before))
    schedules.resume("tick")
    assert schedules.get("tick") == going
    created = schedules.create("later", report, 1, paused=True)
    assert (created.paused, created.next_run) == (True, None)
    schedules.resume("later")
    assert schedules.get("later").next_run > before


def test_one_call_now(schedules: Any, app: StreamTasks, report: Any) -> None:
    made = schedules.create("tick", report, NIGHTLY, [1], paused=True, link=report.s("after"))
    first, second = schedules.run_now("tick"), schedules.run_now("tick")
    assert first.id != second.id
    message = Message.decode(first.snapshot().envelope)
    assert (message.task, message.args, message.queue) == ("shop.report", [1], "reports")
    assert message.headers["schedule"] == "tick"
    assert abs(datetime.fromisoformat(message.headers["scheduled_for"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert message.links[0]["id"] != Message.decode(second.snapshot().envelope).links[0]["id"]
    assert schedules.get("tick") == made


def test_pages_of_a_list(schedules: Any, report: Any) -> None:
    for name in ("c", "a", "b"):
        schedules.create(name, report, 60)
    assert [one.name for one in schedules.list()] == ["a", "b", "c"]
    assert [one.name for one in schedules.list(limit=2)] == ["a", "b"]
    assert [one.name for one in schedules.list(after="b")] == ["c"]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"task": "shop.nothing"}, "task is 'shop.nothing', which the app .* does not know; it knows: shop.report"),
        ({"task": 5}, "task is 5; it must be a task"),
        ({"schedule": "often"}, "schedule is 'often'"),
        ({"schedule": None}, "schedule is None"),
        ({"args": "abc"}, "args is 'abc'"),
        ({"kwargs": [1]}, r"kwargs is \[1\]"),
        ({"args": [object()]}, "JSON cannot carry"),
        ({"misfire": "two"}, "misfire is 'two'"),
        ({"misfire_bound": -1}, "misfire_bound is -1"),
        ({"queu": "slow"}, "'queu' is no option of a call. Did you mean 'queue'"),
        ({"priority": 101}, "priority is 101"),
        ({"task_id": "mine"}, "task_id is 'mine'; each call of a schedule"),
        ({"durability": "aof"}, "durability is 'aof'"),
        ({"eta": datetime(2026, 1, 1, tzinfo=UTC)}, "eta is .* the schedule decides when"),
        ({"expires": datetime(2026, 1, 1, tzinfo=UTC)}, "expires is .* seconds from each occurrence"),
        ({"link": "0" * 32 + "-u0"}, "link is .* cannot wait for one"),
        ({"retry": False}, "retry and retry_policy"),
        ({"backend": "other"}, "only tasks of Django have backends"),
        ({"name": "a\nb"}, "cannot be a schedule's name"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_stored(more: dict[str, Any], text: str) -> None:
    app = StreamTasks("memory://wrong-schedules", timezone="Europe/Berlin")
    app.task(name="shop.report")(print)
    given: dict[str, Any] = {"name": "tick", "task": "shop.report", "schedule": 60, **more}
    with pytest.raises(InvalidTask, match=text):
        app.schedules.create(**given)
    assert app.schedules.list() == []


def test_a_link_with_an_id_of_its_own_is_refused(report: Any, app: StreamTasks) -> None:
    with pytest.raises(InvalidTask, match="task_id is 'mine'"):
        app.schedules.create("tick", report, 60, link=report.s().set(task_id="mine"))
    with pytest.raises(InvalidTask, match="a workflow cannot follow what a schedule enqueues"):
        app.schedules.create("tick", report, 60, link_error=report.s().set(link=chain(report.s(), report.s())))
    with pytest.raises(InvalidTask, match="it must be a task, its name, or a signature"):
        app.schedules.create("tick", chain(report.s(), report.s()), 60)
    with pytest.raises(InvalidTask, match="has the arguments already"):
        app.schedules.create("tick", report.s(1), 60, [2])
    other = StreamTasks("memory://elsewhere")
    with pytest.raises(InvalidTask, match="which is none of the app"):
        app.schedules.create("tick", other.task(name="t")(print), 60)
    assert app.schedules.create("tick", report.s(1, a=2).set(queue="q"), 60, priority=1).args == (1,)


def test_one_of_a_later_release_is_shown_as_such(app: StreamTasks, report: Any) -> None:
    app.schedules.create("a", report, 60)
    new = app.schedules.get("a")
    app.store.put_schedule(NewSchedule("b", b'{"v":2}', "", None), 0)
    known, unknown = app.schedules.list()
    assert known == new
    assert (unknown.name, unknown.task, unknown.rule) == ("b", "", None)
    assert "not a schedule of version 1" in unknown.error


# -- declared in code ------------------------------------------------------------------------------------


def test_what_an_app_declares(caplog: pytest.LogCaptureFixture) -> None:
    app = StreamTasks(
        "memory://declares",
        label="shop:app",
        timezone="Europe/Berlin",
        schedule={
            "morning": {
                "task": "shop.report", "schedule": crontab(hour=9, minute=0), "args": [1], "kwargs": {"a": 2},
                "options": {"queue": "slow"}, "misfire": "all", "misfire_bound": timedelta(hours=1),
            },
            "no task": {"schedule": 60},
            "unknown task": {"task": "shop.nothing", "schedule": 60},
            "unknown key": {"task": "shop.report", "schedule": 60, "arg": [1]},
            "bad rule": {"task": "shop.report", "schedule": "now and then"},
            "bad argument": {"task": "shop.report", "schedule": 60, "args": [object()]},
            "no entry": crontab(),
        },
    )  # fmt: skip

    @app.task(name="shop.report")
    def report(*args: Any, **kwargs: Any) -> None: ...

    @app.task(name="shop.tick", schedule=every(5))
    def tick() -> None: ...

    @app.task(name="shop.tock", bind=True, schedule={"schedule": 7, "args": [1], "options": {"priority": 3}})
    def tock(self: Any, number: int) -> None: ...

    with caplog.at_level(logging.ERROR):
        read, ticks, tocks = app.declared_schedules()
    assert [one.name for one in (read, ticks, tocks)] == ["morning", "shop.tick", "shop.tock"]
    assert read == app.declared_schedules()[0]
    assert read.encode() == app.declared_schedules()[0].encode()
    assert read.rule == crontab(hour=9, minute=0, tz="Europe/Berlin")
    assert (read.signature.args, read.signature.kwargs, read.signature.options.queue) == ((1,), {"a": 2}, "slow")
    assert (read.misfire, read.bound_s, ticks.rule) == ("all", 3600, every(5))
    assert (tocks.signature.args, tocks.signature.options.priority) == ((1,), 3)
    logged = {record.getMessage().split("'")[1]: record.getMessage() for record in caplog.records}
    assert {name: text.split(" is left out: ")[1][:30] for name, text in logged.items()} == {
        "no task": "it has no 'task'.",
        "unknown task": "task is 'shop.nothing', which ",
        "unknown key": "it has the unknown key 'arg'. ",
        "bad rule": "schedule is 'now and then'; it",
        "bad argument": "JSON cannot carry this value: ",
        "no entry": "it is crontab(); it must be a ",
    }


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ("never", "schedule is 'never'"),
        ({"task": "t", "schedule": 5}, "leave out 'task'"),
        ({"schedule": 5, "arg": []}, "unknown key 'arg'. Did you mean 'args'"),
        ({"args": []}, "it has no 'schedule'"),
        ({"schedule": 5, "options": 5}, "options is 5"),
        ({"schedule": 5, "options": {"task_id": "x"}}, "task_id is 'x'"),
        ({"schedule": 5, "misfire": "x"}, "misfire is 'x'"),
    ],
)
def test_a_wrong_declaration_is_an_error_where_it_stands(schedule: Any, text: str) -> None:
    app = StreamTasks("memory://declares-wrongly")
    with pytest.raises(InvalidTask, match=text):
        app.task(name="shop.tick", schedule=schedule)(print)
    assert app.find("shop.tick") is None
    assert app.declared_schedules() == []


def test_two_of_one_name() -> None:
    app = StreamTasks("memory://declares-twice", schedule={"shop.tick": {"task": "shop.tick", "schedule": 5}})
    with pytest.raises(InvalidTask, match=r"has a schedule named 'shop\.tick' already"):
        app.task(name="shop.tick", schedule=7)(print)


def test_wrong_settings_of_an_app() -> None:
    with pytest.raises(ConfigurationError, match="timezone: tz is 'Europe/Atlantis'"):
        StreamTasks(timezone="Europe/Atlantis")
    with pytest.raises(ConfigurationError, match="schedule is 5"):
        StreamTasks(schedule=5)  # type: ignore[arg-type]


async def test_declared_ones_are_changed_in_code(app: StreamTasks) -> None:
    app.task(name="shop.tick", schedule=NIGHTLY)(print)
    store = open_supervisor_store(app.settings)
    [one] = app.declared_schedules()
    assert await store.declare_schedules(
        "u0", [one.new_schedule(clock_ms(app.store), declared=app.label, since_ms=1)]
    ) == [PutResult.STORED]
    schedules = app.schedules
    assert schedules.get("shop.tick").declared == "app"
    for change in (lambda: schedules.update("shop.tick", schedule=5), lambda: schedules.delete("shop.tick")):
        with pytest.raises(ScheduleDeclared, match=r"'shop.tick' is declared by app\. (Change|Delete) it there"):
            change()
    with pytest.raises(ScheduleExists):
        schedules.create("shop.tick", print_task(app), 60)
    schedules.pause("shop.tick")
    assert schedules.get("shop.tick").paused
    schedules.resume("shop.tick")
    assert schedules.run_now("shop.tick").state == "QUEUED"
    schedules.delete("shop.tick", force=True)
    assert schedules.list() == []


def print_task(app: StreamTasks) -> Any:
    return app.find("shop.tick")


def test_middleware_sees_calls_not_declarations() -> None:
    seen: list[str] = []

    class Sees(Middleware):
        def before_enqueue(self, message: Message) -> Message:
            seen.append(message.task)
            return message

    app = StreamTasks("memory://declarations", middleware=[Sees()])
    after = app.task(name="after")(print)
    report = app.task(name="report", schedule={"schedule": every(60), "options": {"link": after.s()}})(print)
    [definition] = app.declared_schedules()
    assert (definition.name, seen) == ("report", [])
    report.apply_async(link=after.s())
    assert sorted(seen) == ["after", "report"]
    app.schedules.create("more", report, every(60))
    assert sorted(seen) == ["after", "report", "report"]
