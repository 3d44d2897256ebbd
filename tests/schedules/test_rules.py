"""Rules of schedules: what they accept, and their exact times, also when the clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streamtasks.exceptions import DecodeError, InvalidTask
from streamtasks.schedules.rules import Rule, crontab, every, rule_from_dict, rule_of

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE_MS = 60_000
local = datetime.fromisoformat


def times(rule: Rule, after: datetime, count: int) -> list[str]:
    """The next occurrences as text, local time and offset."""
    found = []
    for _ in range(count):
        after = rule.next_after(after)
        found.append(after.strftime("%m-%d %H:%M%z"))
    return found


# -- what is accepted ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "first", "second"),
    [
        ({}, "01-01 00:01+0000", "01-01 00:02+0000"),
        ({"minute": 5}, "01-01 00:05+0000", "01-01 01:05+0000"),
        ({"minute": "*/25"}, "01-01 00:25+0000", "01-01 00:50+0000"),
        ({"minute": "10-20/10"}, "01-01 00:10+0000", "01-01 00:20+0000"),
        ({"minute": "50/5", "hour": 1}, "01-01 01:50+0000", "01-01 01:55+0000"),
        ({"minute": " 1, 15"}, "01-01 00:01+0000", "01-01 00:15+0000"),
        ({"minute": [15, 1]}, "01-01 00:01+0000", "01-01 00:15+0000"),
        ({"minute": range(7, 60, 7)}, "01-01 00:07+0000", "01-01 00:14+0000"),
        ({"minute": 0, "hour": "9-10"}, "01-01 09:00+0000", "01-01 10:00+0000"),
        ({"minute": 0, "hour": "23-1"}, "01-01 01:00+0000", "01-01 23:00+0000"),
        ({"minute": 0, "hour": 9, "day_of_week": "mon-fri"}, "01-01 09:00+0000", "01-02 09:00+0000"),
        ({"minute": 0, "hour": 9, "day_of_week": "sat-mon"}, "01-03 09:00+0000", "01-04 09:00+0000"),
        ({"minute": 0, "hour": 9, "day_of_week": "Saturday,SUN"}, "01-03 09:00+0000", "01-04 09:00+0000"),
        ({"minute": 0, "hour": 9, "day_of_week": [0]}, "01-04 09:00+0000", "01-11 09:00+0000"),
        ({"minute": 0, "hour": 9, "day_of_week": 7}, "01-04 09:00+0000", "01-11 09:00+0000"),
        ({"minute": 0, "hour": 9, "day_of_week": ["mon", 3]}, "01-05 09:00+0000", "01-07 09:00+0000"),
        ({"minute": 0, "hour": 9, "day_of_week": "fri#2"}, "01-09 09:00+0000", "02-13 09:00+0000"),
        ({"minute": 0, "hour": 9, "day_of_week": "5L"}, "01-30 09:00+0000", "02-27 09:00+0000"),
        ({"minute": 0, "hour": 9, "day_of_month": "1,15"}, "01-01 09:00+0000", "01-15 09:00+0000"),
        ({"minute": 0, "hour": 9, "day_of_month": "L"}, "01-31 09:00+0000", "02-28 09:00+0000"),
        ({"minute": 0, "hour": 9, "day_of_month": "LW"}, "01-30 09:00+0000", "02-27 09:00+0000"),
        ({"minute": 0, "hour": 0, "day_of_month": 1, "month_of_year": "*/6"}, "07-01 00:00+0000", "01-01 00:00+0000"),
        (
            {"minute": 0, "hour": 9, "day_of_month": 1, "month_of_year": "feb,march"},
            "02-01 09:00+0000",
            "03-01 09:00+0000",
        ),
        (
            {"minute": 0, "hour": 9, "day_of_month": 1, "month_of_year": "nov-jan"},
            "01-01 09:00+0000",
            "11-01 09:00+0000",
        ),
        # Both days must match.
        ({"minute": 0, "hour": 9, "day_of_month": "1-7", "day_of_week": "mon"}, "01-05 09:00+0000", "02-02 09:00+0000"),
        ({"minute": 0, "hour": 9, "day_of_month": 13, "day_of_week": 5}, "02-13 09:00+0000", "03-13 09:00+0000"),
    ],
)
def test_every_documented_form_of_a_field(given: dict[str, Any], first: str, second: str) -> None:
    rule = crontab(**given)
    assert times(rule, datetime(2026, 1, 1, tzinfo=UTC), 2) == [first, second]
    assert rule_from_dict(rule.as_dict()) == rule.in_zone("UTC")
    assert eval(repr(rule), {"crontab": crontab}) == rule


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("minute", 60), ("minute", -1), ("minute", True), ("minute", None), ("minute", ""), ("minute", []),
        ("minute", "1,,2"), ("minute", "*/0"), ("minute", "5-"), ("minute", 1.5), ("minute", "** **"), ("minute", b"1"),
        ("hour", 24), ("hour", "nine"), ("hour", "25-3"), ("hour", "22-3/0"), ("hour", {"9": 1}), ("hour", "٣"),
        ("day_of_week", 8), ("day_of_week", "mo"), ("day_of_week", "5L/2"), ("day_of_week", "fri#6"),
        ("day_of_month", 0), ("day_of_month", 32), ("day_of_month", "W"), ("day_of_month", "jan"),
        ("month_of_year", 13), ("month_of_year", 0), ("month_of_year", "mon"), ("month_of_year", [1, None]),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_with_its_value(field: str, value: Any) -> None:
    with pytest.raises(InvalidTask) as caught:
        crontab(**{field: value})
    assert f"crontab(): {field} is {value!r}; it must be from" in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"day_of_month": 30, "month_of_year": 2},
        {"day_of_month": 31, "month_of_year": "apr,jun,sep,nov"},
        {"day_of_month": 1, "day_of_week": "mon#2"},
    ],
)
def test_a_date_that_never_comes_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidTask, match=r"there is no such date: day_of_month is .*, month_of_year .*, day_of_week"):
        crontab(hour=0, minute=0, **given)
    leap = crontab(0, 12, day_of_month=29, month_of_year=2, day_of_week="mon")
    assert [leap.next_after(local("2026-01-01 00:00")).year, leap.next_after(local("2070-01-01 00:00")).year] == [
        2044,
        2072,
    ]


@pytest.mark.parametrize("tz", ["Mars/Phobos", "Europe", "", "../etc/passwd", 5, timezone(timedelta(hours=1))])
def test_a_wrong_zone_is_named(tz: Any) -> None:
    with pytest.raises(InvalidTask, match="tz is "):
        crontab(tz=tz)


def test_rules_are_values() -> None:
    assert crontab(minute=[0, 30], tz=BERLIN) == crontab(minute="0,30", tz="Europe/Berlin")
    assert len({crontab(minute={30, 5}), crontab(minute="5,30"), crontab(minute="5,30", tz="UTC"), every(60)}) == 3
    assert crontab(tz=UTC) == crontab(tz="UTC")
    assert repr(crontab(hour=9, minute=0, tz="UTC")) == "crontab(minute=0, hour=9, tz='UTC')"
    assert every(90) == every(90.0) == every(timedelta(minutes=1.5)) != every(91)
    assert (repr(every(90)), repr(every(0.5)), repr(every(timedelta(days=1)))) == (
        "every(90)",
        "every(0.5)",
        "every(86400)",
    )
    with pytest.raises(AttributeError):
        crontab().minute = "5"  # type: ignore[misc]


def test_every_counts_from_the_epoch() -> None:
    rule = every(timedelta(hours=1))
    assert times(rule, local("2026-01-01 00:00:00.000001"), 2) == ["01-01 01:00+0000", "01-01 02:00+0000"]
    assert times(rule, datetime(2026, 1, 1, 5, tzinfo=BERLIN), 1) == ["01-01 06:00+0100"]
    assert every(7).next_after(local("1970-01-01 00:00")) == datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC)
    assert rule_from_dict(every(0.25).as_dict()) == every(0.25)
    assert every(0.1).next_ms(1_790_000_000_000) == 1_790_000_000_100


@pytest.mark.parametrize("period", [0, -1, 0.05, 1 / 3, True, "60", None, float("inf"), timedelta(days=40_000)])
def test_a_wrong_period_is_named(period: Any) -> None:
    with pytest.raises(InvalidTask, match=r"every\(\) got "):
        every(period)


def test_what_else_is_accepted_as_a_rule() -> None:
    assert rule_of(every(5)) == rule_of(5) == rule_of(5.0) == rule_of(timedelta(seconds=5))
    assert rule_of("30 9 1-7 jan mon-fri") == crontab(30, 9, "mon-fri", "1-7", "jan")
    wrongs: tuple[Any, ...] = (True, "9", "0 9 * *", "0 9 * * * *", None, {})
    for wrong in wrongs:
        with pytest.raises(InvalidTask, match="schedule is "):
            rule_of(wrong)
    with pytest.raises(InvalidTask, match="hour is '25'"):
        rule_of("0 25 * * *")


@pytest.mark.parametrize("wire", [None, {}, [], {"every_ms": "5"}, {"crontab": {}, "tz": "UTC"}, {"crontab": 5}])
def test_what_is_stored_may_be_damaged(wire: Any) -> None:
    with pytest.raises(DecodeError):
        rule_from_dict(wire)


# -- when the clocks are changed: Berlin, 29 March 2026, 02:00 -> 03:00; 25 October 2026, 03:00 -> 02:00 -----------


def test_fixed_times_in_the_gap_happen_when_it_ends_once() -> None:
    before = local("2026-03-28 12:00")
    assert times(crontab(30, 2, tz=BERLIN), before, 3) == ["03-29 03:00+0200", "03-30 02:30+0200", "03-31 02:30+0200"]
    assert times(crontab("0,20,40", 2, tz=BERLIN), before, 2) == ["03-29 03:00+0200", "03-30 02:00+0200"]
    assert times(crontab(0, "1-3", tz=BERLIN), before, 3) == [
        "03-29 01:00+0100",
        "03-29 03:00+0200",
        "03-30 01:00+0200",
    ]
    assert times(crontab(0, 3, tz=BERLIN), before, 2) == ["03-29 03:00+0200", "03-30 03:00+0200"]
    # Midnight of a zone that puts its clocks forward then.
    assert times(crontab(0, 0, tz="Africa/Cairo"), local("2026-04-23 12:00"), 2) == [
        "04-24 01:00+0300",
        "04-25 00:00+0300",
    ]


def test_fixed_times_that_are_shown_twice_happen_the_first_time() -> None:
    before = local("2026-10-24 12:00")
    assert times(crontab(30, 2, tz=BERLIN), before, 2) == ["10-25 02:30+0200", "10-26 02:30+0100"]
    assert times(crontab("0,30", "2,3", tz=BERLIN), before, 5) == [
        "10-25 02:00+0200", "10-25 02:30+0200", "10-25 03:00+0100", "10-25 03:30+0100", "10-26 02:00+0100",
    ]  # fmt: skip


def test_rules_with_a_star_follow_the_clocks() -> None:
    half_hours = crontab("*/30", tz=BERLIN)
    assert times(half_hours, local("2026-03-29 01:29"), 3) == [
        "03-29 01:30+0100",
        "03-29 03:00+0200",
        "03-29 03:30+0200",
    ]
    assert times(half_hours, local("2026-10-25 01:59"), 6) == [
        "10-25 02:00+0200", "10-25 02:30+0200", "10-25 02:00+0100", "10-25 02:30+0100", "10-25 03:00+0100",
        "10-25 03:30+0100",
    ]  # fmt: skip
    assert times(crontab("*/30", 2, tz=BERLIN), local("2026-03-28 12:00"), 2) == [
        "03-30 02:00+0200",
        "03-30 02:30+0200",
    ]
    assert times(crontab(0, "*/2", tz=BERLIN), local("2026-10-25 00:30"), 3) == [
        "10-25 02:00+0200", "10-25 02:00+0100", "10-25 04:00+0100",
    ]  # fmt: skip
    # A change by half an hour, and one at midnight: what the clocks show is all that counts.
    assert times(crontab("*/10", 2, tz="Australia/Lord_Howe"), local("2026-10-03 12:00"), 3) == [
        "10-04 02:30+1100", "10-04 02:40+1100", "10-04 02:50+1100",
    ]  # fmt: skip
    assert times(crontab("*/10", 3, tz="Australia/Lord_Howe"), local("2026-10-04 02:45"), 1) == ["10-04 03:00+1100"]
    assert times(crontab("*/30", 0, tz="Africa/Cairo"), local("2026-04-23 12:00"), 1) == ["04-25 00:00+0300"]


@pytest.mark.parametrize(
    ("moment", "fixed", "shown"),
    [
        # In the second pass, and at its beginning: the fixed ones of the first pass are over.
        (datetime(2026, 10, 25, 2, 15, tzinfo=BERLIN, fold=1), "10-26 02:30+0100", "10-25 02:30+0100"),
        (datetime(2026, 10, 25, 2, 0, tzinfo=BERLIN, fold=1), "10-26 02:30+0100", "10-25 02:30+0100"),
        (datetime(2026, 10, 25, 2, 15, tzinfo=BERLIN), "10-25 02:30+0200", "10-25 02:30+0200"),
        (datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN), "10-26 02:30+0100", "10-25 02:00+0100"),
        (datetime(2026, 10, 25, 2, 45, tzinfo=BERLIN), "10-26 02:30+0100", "10-25 02:00+0100"),
        # A time that the clocks never show is the moment at which they would have shown it.
        (datetime(2026, 3, 29, 2, 15, tzinfo=BERLIN), "03-30 02:30+0200", "03-29 03:30+0200"),
        (datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=BERLIN), "03-29 03:00+0200", "03-29 03:00+0200"),
        (datetime(2026, 3, 29, 3, 0, tzinfo=BERLIN), "03-30 02:30+0200", "03-29 03:30+0200"),
    ],
)  # fmt: skip
def test_moments_around_a_change(moment: datetime, fixed: str, shown: str) -> None:
    assert times(crontab(30, 2, tz=BERLIN), moment, 1) == [fixed]
    assert times(crontab("*/30", tz=BERLIN), moment, 1) == [shown]
    assert times(crontab("*/30", tz=BERLIN), moment.astimezone(UTC), 1) == [shown]
