"""The role that fires schedules and declares those of the code, on a store in memory whose clock stands still."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import logging
from array import array
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import StoreSettings, StreamTasks
from streamtasks.protocol.message import Message
from streamtasks.protocol.shards import ALL_TAGS, schedule_tag
from streamtasks.schedules import crontab, every
from streamtasks.schedules.definition import Definition
from streamtasks.stores.memory import AsyncMemoryStore, Clock, MemoryServer
from streamtasks_workers.process.options import WorkerOptions
from streamtasks_workers.roles.base import ServedApp
from streamtasks_workers.roles.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
SETTINGS = StoreSettings(url="memory://scheduler")


def definition(name: str, seconds: float = 60, misfire: str = "one", *args: Any) -> Definition:
    app = StreamTasks("memory://scheduler")
    task = app.task(name="report")(lambda *_: None)
    return Definition.of(name, every(seconds), task.resolve(task.s(*args), "u0"), misfire)


@pytest.fixture
def store() -> AsyncMemoryStore:
    return AsyncMemoryStore(SETTINGS, MemoryServer(Clock(NOW_MS)))


def scheduler(store: Any, *schedules: Definition, loaded_ms: int = 0, label: str = "shop") -> Scheduler:
    return scheduler_of(store, memoryview(array("Q", [loaded_ms])), *schedules, label=label)


def scheduler_of(store: Any, loaded_ms: memoryview, *schedules: Definition, label: str = "shop") -> Scheduler:
    app = ServedApp(label, SETTINGS, store, WorkerOptions(), schedules=schedules, loaded_ms=loaded_ms)
    return Scheduler(app, "u0")


async def names(store: AsyncMemoryStore) -> list[str]:
    return [found.name for found in await store.list_schedules()]


class TestFiring:
    async def test_what_is_due_is_fired_and_the_next_time_is_known(self, store: AsyncMemoryStore) -> None:
        role = scheduler(store, definition("tick"))
        assert await role.run_once() == 2.0, "at least this often"
        store.server.clock.advance(59)
        assert await role.run_once() == 1.0
        assert (await store.schedules(["tick"]))[0].fired == 0  # type: ignore[union-attr]
        store.server.clock.advance(1)
        await role.run_once()
        [found] = await store.schedules(["tick"])
        assert found is not None
        assert (found.fired, found.last_ms, found.next_ms) == (1, NOW_MS + 60_000, NOW_MS + 120_000)
        [snapshot] = await store.read([found.last_id])
        assert snapshot is not None
        assert snapshot.message().task == "report"

    async def test_more_than_one_call_can_carry(self, store: AsyncMemoryStore) -> None:
        role = scheduler(store, definition("tick", 1, "all"), *(definition(f"t{n:03}") for n in range(250)))
        await role.run_once()
        store.server.clock.advance(350)
        await role.run_once()
        [tick] = await store.schedules(["tick"])
        assert tick is not None
        assert (tick.fired, tick.missed, tick.next_ms) == (350, 0, NOW_MS + 351_000)
        others = [found for found in await store.list_schedules(1000) if found.name != "tick"]
        assert {(found.fired, found.missed) for found in others} == {(1, 4)}

    async def test_what_cannot_be_read_is_passed_over_until_it_changes(
        self, store: AsyncMemoryStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        new = definition("a").new_schedule(NOW_MS)
        for number in range(120):
            await store.put_schedule(new._replace(name=f"odd{number}", definition=b"{}", next_ms=1), 0)
        await store.put_schedule(new, 0)
        store.server.clock.advance(60)
        role = scheduler(store)
        for _ in range(3):
            await role.run_once()
        [a] = await store.schedules(["a"])
        assert a is not None
        assert a.fired == 1
        assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 120
        [odd] = await store.schedules(["odd7"])
        assert odd is not None
        await store.put_schedule(definition("odd7").new_schedule(NOW_MS), odd.revision)
        await role.run_once()
        [mended] = await store.schedules(["odd7"])
        assert mended is not None
        assert mended.fired == 1


class TestTheClockWentBack:
    """By a day. Occurrences that were stored before lie a day too far ahead."""

    async def test_while_a_keeper_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = Clock(NOW_MS + DAY_MS)
        store = AsyncMemoryStore(SETTINGS, MemoryServer(clock))
        role = scheduler(store, definition("tick"))
        await role.run_once()
        assert (await store.schedules(["tick"]))[0].next_ms == NOW_MS + DAY_MS + 60_000  # type: ignore[union-attr]
        monkeypatch.setattr(clock, "_moved_us", -DAY_MS * 1000)
        assert await role.run_once() == 2.0
        assert (await store.schedules(["tick"]))[0].next_ms == NOW_MS + 60_000  # type: ignore[union-attr]
        clock.advance(60)
        await role.run_once()
        assert (await store.schedules(["tick"]))[0].fired == 1  # type: ignore[union-attr]

    async def test_before_a_keeper_starts_also_those_of_others(self, store: AsyncMemoryStore) -> None:
        for number in range(250):
            new = definition(f"t{number:03}").new_schedule(NOW_MS + (DAY_MS if number % 2 else 0))
            await store.put_schedule(new, 0)
        await store.put_schedule(definition("odd").new_schedule(NOW_MS)._replace(definition=b"{}"), 0)
        await store.put_schedule(definition("paused").new_schedule(NOW_MS + DAY_MS), 0)
        await store.pause_schedule("paused", None)
        await scheduler(store).run_once()
        found = {one.name: one.next_ms for one in await store.list_schedules(1000)}
        assert found.pop("paused") == NOW_MS + DAY_MS + 60_000, "its time is set when it goes on"
        assert set(found.values()) == {NOW_MS + 60_000}

    async def test_an_occurrence_that_comes_again_is_enqueued_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = Clock(NOW_MS)
        store = AsyncMemoryStore(SETTINGS, MemoryServer(clock))
        role = scheduler(store, definition("tick"))
        await role.run_once()
        clock.advance(60)
        await role.run_once()
        monkeypatch.setattr(clock, "_moved_us", 0)
        await role.run_once()
        clock.advance(60)
        await role.run_once()
        [found] = await store.schedules(["tick"])
        assert found is not None
        assert (found.fired, found.next_ms) == (1, NOW_MS + 120_000)

    async def test_a_store_that_is_away_meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = Clock(NOW_MS + DAY_MS)
        store = AsyncMemoryStore(SETTINGS, MemoryServer(clock))
        away = Away(store, "")
        role = scheduler(away, definition("tick"))
        await role.run_once()
        monkeypatch.setattr(clock, "_moved_us", -DAY_MS * 1000)
        away.fails = "shard_schedules"
        with pytest.raises(ConnectionError):
            await role.run_once()
        away.fails = ""
        await role.run_once()
        assert (await store.schedules(["tick"]))[0].next_ms == NOW_MS + 60_000  # type: ignore[union-attr]


MARCH, OCTOBER = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)
BERLIN = [
    # 29 March 2026: 02:00 is followed by 03:00, at 01:00 UTC.
    (MARCH, crontab(hour=2, minute=30), "29T01:00 30T00:30"),
    (MARCH, crontab(hour=3, minute=0), "29T01:00 30T01:00"),
    (
        MARCH,
        crontab(hour="1-3", minute="*/30"),
        "29T00:00 29T00:30 29T01:00 29T01:30 29T23:00 29T23:30 30T00:00 30T00:30 30T01:00 30T01:30",
    ),
    # 25 October 2026: 03:00 is followed by 02:00, at 01:00 UTC.
    (OCTOBER, crontab(hour=2, minute=30), "25T00:30 26T01:30"),
    (OCTOBER, crontab(hour=3, minute=0), "25T02:00 26T02:00"),
    (
        OCTOBER,
        crontab(hour="1-3", minute="*/30"),
        (
            "24T23:00 24T23:30 25T00:00 25T00:30 25T01:00 25T01:30 25T02:00 25T02:30 "
            "26T00:00 26T00:30 26T01:00 26T01:30 26T02:00"
        ),
    ),
]


@pytest.mark.parametrize(("start", "rule", "expected"), BERLIN)
@pytest.mark.parametrize("step_min", [10, 570])
async def test_the_clock_moves_over_a_change_of_the_clocks(
    start: datetime, rule: crontab, expected: str, step_min: int
) -> None:
    """Exactly the documented occurrences (UTC), whether somebody looks often or was away for nine hours."""
    store = AsyncMemoryStore(SETTINGS, MemoryServer(Clock(round(start.timestamp() * 1000))))
    brought: list[str] = []
    store.server.captures.append(lambda new: brought.append(str(Message.decode(new.envelope).headers["scheduled_for"])))
    role = scheduler(store, replace(definition("clock"), rule=rule.in_zone("Europe/Berlin"), misfire="all"))
    await role.run_once()
    for _ in range(38 * 60 // step_min):
        store.server.clock.advance(60 * step_min)
        await role.run_once()
    assert " ".join(text[8:16] for text in brought) == expected


class Away:
    """A store that cannot be reached at first."""

    def __init__(self, store: AsyncMemoryStore, fails: str) -> None:
        self._store = store
        self.fails = fails

    def __getattr__(self, name: str) -> Any:
        if name == self.fails:
            raise ConnectionError(name)
        return getattr(self._store, name)


class TestDeclaring:
    async def test_again_and_again_so_that_a_server_may_lose_them(
        self, store: AsyncMemoryStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        role = scheduler(store, definition("a"), definition("b"))
        await role.run_once()
        await store.delete_schedule("b")
        await role.run_once()
        assert await names(store) == ["a"], "not at once"
        role._declare_at = 0.0
        await role.run_once()
        assert await names(store) == ["a", "b"]
        assert caplog.text.count("'b' of shop is stored anew") == 1

    async def test_what_no_worker_has_declared_for_minutes_goes(
        self, store: AsyncMemoryStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        old, new = scheduler(store, definition("a"), definition("b")), scheduler(store, definition("b"))
        await old.run_once()
        await scheduler(store, definition("theirs"), label="other").run_once()
        for role in (old, new, new, new):
            store.server.clock.advance(400)
            role._declare_at = 0.0
            await role.run_once()
            assert "a" in await names(store), "a worker that has just started does not know who lives"
        new._born -= 601
        new._declare_at = 0.0
        await new.run_once()
        assert await names(store) == ["b", "theirs"]
        assert caplog.text.count("'a' of shop is deleted: no worker has declared it lately") == 1

    async def test_it_stays_while_an_older_release_declares_it(self, store: AsyncMemoryStore) -> None:
        old, new = scheduler(store, definition("a"), loaded_ms=1), scheduler(store)
        new._born -= 601
        for _ in range(4):
            store.server.clock.advance(400)
            for role in (old, new):
                role._declare_at = 0.0
                await role.run_once()
        assert await names(store) == ["a"]

    async def test_an_old_release_that_restarts_during_a_roll_out_changes_nothing(
        self, store: AsyncMemoryStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        def of(release: str, *schedules: Definition) -> Scheduler:
            role = scheduler(store, *schedules)
            role.app.release = release
            return role

        await of("r1", definition("a")).run_once()
        store.server.clock.advance(1)
        await of("r2", definition("a", 120)).run_once()
        store.server.clock.advance(1)
        await of("r1", definition("a")).run_once()
        [found] = await store.list_schedules()
        assert found.definition == definition("a", 120).encode()
        assert caplog.text.count("'a' of shop is left out: a later release counts") == 1

    async def test_projects_with_one_label_share_nothing(
        self, store: AsyncMemoryStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Two Django projects with the alias "default" on one server and prefix."""

        def of(project: str, *schedules: Definition) -> Scheduler:
            role = scheduler(store, *schedules, label="default")
            role.app.project = project
            role._born -= 601
            return role

        await of("shop.settings:default", definition("a")).run_once()
        store.server.clock.advance(1000)
        await of("blog.settings:default", definition("b")).run_once()
        assert await names(store) == ["a", "b"]
        await of("blog.settings:default").run_once()
        assert await names(store) == ["a", "b"]

    @pytest.mark.parametrize("fails", ["due_schedules", "declare_schedules", "undeclare_schedules"])
    async def test_again_until_it_has_succeeded(self, store: AsyncMemoryStore, fails: str) -> None:
        await scheduler(store, definition("old"), loaded_ms=1).run_once()
        away = Away(store, fails)
        store.server.clock.advance(601)
        role = scheduler(away, definition("a"))
        role._born -= 601
        for _ in range(2):
            with pytest.raises(ConnectionError):
                await role.run_once()
        away.fails = ""
        await role.run_once()
        assert await names(store) == ["a"]

    async def test_one_that_cannot_be_stored_holds_nobody_up(
        self, store: AsyncMemoryStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        role = scheduler(store, replace(definition("set"), call={"args": {1, 2}}), definition("a"))
        await role.run_once()
        await role.run_once()
        assert await names(store) == ["a"]
        assert caplog.text.count("'set' of shop is left out") == 1

    async def test_a_keeper_that_is_restarted_brings_nothing_old_back(
        self, store: AsyncMemoryStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        old, new = definition("a"), definition("a", 120)
        loaded = memoryview(array("Q", [0]))
        await scheduler_of(store, loaded, old, definition("gone")).run_once()
        assert loaded[0] == NOW_MS, "the supervisor keeps it for the next keeper"
        store.server.clock.advance(1)
        await scheduler(store, new).run_once()
        store.server.clock.advance(1)
        await scheduler_of(store, loaded, old, definition("gone")).run_once()
        [found, _] = await store.list_schedules()
        assert found.definition == new.encode()
        assert "'a' of shop is left out: a later release counts" in caplog.text

    async def test_a_taken_name_is_asked_for_until_it_is_free(
        self, store: AsyncMemoryStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put_schedule(definition("a").new_schedule(NOW_MS), 0)
        role = scheduler(store, definition("a"), definition("b"))
        await role.run_once()
        await role.run_once()
        assert caplog.text.count("'a' of shop is not declared") == 1
        assert [found.declared for found in await store.list_schedules()] == ["", "shop"]
        await store.delete_schedule("a")
        monkeypatch.setattr(role, "_declare_at", 0.0)
        await role.run_once()
        assert [found.declared for found in await store.list_schedules()] == ["shop", "shop"]

    def test_each_shard_declares_its_own(self) -> None:
        schedules: Sequence[Definition] = [definition(f"t{number}") for number in range(40)]
        loaded = memoryview(array("Q", range(len(ALL_TAGS))))
        store: Any = None
        settings: Any = SimpleNamespace(tags=ALL_TAGS)
        app = ServedApp("shop", settings, store, WorkerOptions(), schedules=schedules, loaded_ms=loaded)
        parts = [Scheduler(app, tag) for tag in ALL_TAGS]
        assert sorted(one.name for part in parts for one in part._to_declare) == sorted(one.name for one in schedules)
        for place, (tag, part) in enumerate(zip(ALL_TAGS, parts, strict=True)):
            assert {schedule_tag(one.name, ALL_TAGS) for one in part._to_declare} <= {tag}
            assert part._loaded_ms.tolist() == [place]
