"""The role that fires schedules, on a store in memory whose clock stands still."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from streamtasks.protocol.message import Message
from streamtasks.schedules import crontab
from streamtasks.stores.memory import AsyncMemoryStore, Clock, MemoryServer
from tests.support.scheduler_role import DAY_MS, NOW_MS, SETTINGS, Away, definition, scheduler


@pytest.fixture
def store() -> AsyncMemoryStore:
    return AsyncMemoryStore(SETTINGS, MemoryServer(Clock(NOW_MS)))


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
