"""Rules against a look at every minute, and against cronsim."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtasks.schedules.rules import crontab, every

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE_MS = 60_000
local = datetime.fromisoformat


ZONES = (
    "UTC",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/New_York",
    "Africa/Casablanca",
    "Asia/Kolkata",
)
FIELDS = st.fixed_dictionaries(
    {
        "minute": st.sampled_from(["*", "*/30", "0", "15,45", "*/20", "59"]),
        "hour": st.sampled_from(["*", "*/2", "0", "1-3", "2", "23,0", "3"]),
        "day_of_week": st.sampled_from(["*", "*", "sun", "fri,sat", "mon-fri"]),
        "day_of_month": st.sampled_from(["*", "*", "29", "L", "1-15", "*/2"]),
        "tz": st.sampled_from(ZONES),
    }
)
CHANGES = st.sampled_from(  # Berlin, Lord Howe, Cairo, New York, Casablanca; both ways
    [
        "2026-03-29",
        "2026-10-25",
        "2026-04-05",
        "2026-10-04",
        "2026-04-24",
        "2026-10-30",
        "2026-03-08",
        "2026-02-15",
        "2026-03-22",
    ]
)


def by_hand(rule: crontab, first_ms: int, last_ms: int) -> list[int]:
    """The same by looking at each minute."""
    zone = rule.zone
    naive = crontab(rule.minute, rule.hour, rule.day_of_week, rule.day_of_month, rule.month_of_year, tz="UTC")

    def matches(wall: datetime) -> bool:
        return naive.next_after(wall.replace(tzinfo=UTC) - timedelta(seconds=1)) == wall.replace(tzinfo=UTC)

    found = set()
    is_fixed = not rule.minute.startswith("*") and not rule.hour.startswith("*")
    previous = datetime.fromtimestamp(first_ms / 1000 - 60, UTC).astimezone(zone).replace(tzinfo=None)
    for at_ms in range(first_ms, last_ms + 1, MINUTE_MS):
        here = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone)
        wall = here.replace(tzinfo=None)
        shown = [wall]
        if is_fixed:
            if here.fold:
                shown = []
            while shown and shown[-1] - previous > timedelta(minutes=1):  # passed over
                shown.append(shown[-1] - timedelta(minutes=1))
            previous = max(previous, wall)
        if any(map(matches, shown)):
            found.add(at_ms)
    return sorted(found)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(FIELDS, CHANGES, st.integers(0, 2880))
def test_times_are_those_that_a_look_at_every_minute_finds(fields: dict[str, Any], day: str, shift: int) -> None:
    rule = crontab(**fields)
    first_ms = round((datetime.fromisoformat(f"{day}T00:00+00:00").timestamp() - 60 * shift) * 1000)
    last_ms = first_ms + 2880 * MINUTE_MS
    expected = by_hand(rule, first_ms, last_ms)
    walked = []
    at_ms = rule.next_ms(first_ms - 1)
    while at_ms <= last_ms:
        walked.append(at_ms)
        at_ms = rule.next_ms(at_ms)
    assert walked == expected
    assert rule.latest(first_ms, last_ms, 10_000) == expected
    assert rule.latest(first_ms, last_ms, 3) == expected[-3:]
    assert rule.count(first_ms, last_ms) == len(expected)


@settings(max_examples=30, deadline=None)
@given(FIELDS, CHANGES)
def test_they_are_those_of_cronsim_where_it_says_what_its_clock_shows(fields: dict[str, Any], day: str) -> None:
    rule = crontab(**{**fields, "tz": "Europe/Berlin"})
    start = datetime.fromisoformat(day).replace(tzinfo=BERLIN) - timedelta(days=1)
    minute, hour, days, months, weekdays = rule.minute, rule.hour, rule.day_of_month, "*", rule.day_of_week
    sim = CronSim(f"{minute} {hour} {days} {months} {weekdays}", start)
    sim.day_and = True

    def ours() -> Iterator[datetime]:
        after = start
        while True:
            after = rule.next_after(after)
            yield after

    theirs: list[datetime] = []
    for found in sim:  # which tells one time of the gap after the other as the same moment
        if not theirs or found.astimezone(UTC) != theirs[-1]:
            theirs.append(found.astimezone(UTC))
        if len(theirs) == 40:
            break
    assert [found.astimezone(UTC) for found in islice(ours(), 40)] == theirs


@given(st.integers(100, 10**9), st.integers(0, 2 * 10**12), st.integers(0, 10**11), st.integers(1, 50))
def test_every_by_arithmetic(period_ms: int, first_ms: int, length_ms: int, most: int) -> None:
    rule = every(timedelta(milliseconds=period_ms))
    last_ms = first_ms + length_ms
    at_ms = rule.next_ms(first_ms - 1)
    assert at_ms % period_ms == 0
    assert first_ms <= at_ms < first_ms + period_ms
    count = rule.count(first_ms, last_ms)
    assert count == (0 if at_ms > last_ms else (last_ms - at_ms) // period_ms + 1)
    latest = rule.latest(first_ms, last_ms, most)
    assert len(latest) == min(count, most)
    assert all(later - earlier == period_ms for earlier, later in pairwise(latest))
    assert not latest or last_ms - period_ms < latest[-1] <= last_ms
