"""Which occurrences are fired after a pause."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from streamtasks.exceptions import InvalidTask
from streamtasks.schedules.occurrences import check_misfire, plan
from streamtasks.schedules.rules import Rule, crontab, every

DAY_MS = 86_400_000
NOW_MS = round(datetime(2026, 6, 15, 12, 0, 0, 500_000, tzinfo=UTC).timestamp() * 1000)
MINUTELY, NIGHTLY = every(60), crontab(0, 3, tz="Europe/Berlin")
NOON_MS = NOW_MS - 500


@pytest.mark.parametrize("misfire", ["one", "skip", "all"])
@pytest.mark.parametrize("rule", [MINUTELY, crontab()])
def test_what_is_on_time_is_fired_whatever_the_policy(rule: Rule, misfire: str) -> None:
    assert plan(rule, NOON_MS + 60_000, NOW_MS, misfire, DAY_MS) == ([], 0, NOON_MS + 60_000)
    assert plan(rule, NOON_MS, NOW_MS, misfire, DAY_MS) == ([NOON_MS], 0, NOON_MS + 60_000)
    assert plan(rule, NOW_MS + 500, NOW_MS + 500, misfire, DAY_MS) == ([], 0, NOON_MS + 60_000)


@pytest.mark.parametrize("rule", [MINUTELY, crontab()])
def test_of_many_the_last_one_or_all_in_steps(rule: Rule) -> None:
    since_ms = NOON_MS - 249 * 60_000
    assert plan(rule, since_ms, NOW_MS, "one", DAY_MS) == ([NOON_MS], 249, NOON_MS + 60_000)
    assert plan(rule, since_ms, NOW_MS, "skip", DAY_MS) == ([NOON_MS], 249, NOON_MS + 60_000)
    fired, next_ms, sizes = [], since_ms, []
    while next_ms <= NOW_MS:
        fires, missed, next_ms = plan(rule, next_ms, NOW_MS, "all", DAY_MS)
        fired += fires
        sizes.append((len(fires), missed))
    assert sizes == [(100, 0), (100, 0), (50, 0)]
    assert fired == list(range(since_ms, NOON_MS + 1, 60_000))


def test_skip_lets_go_what_is_more_than_a_minute_late() -> None:
    late_ms = round(datetime(2026, 6, 15, 3, tzinfo=UTC).timestamp() * 1000) - 2 * 3_600_000  # 03:00 in Berlin
    tomorrow_ms = late_ms + DAY_MS
    assert plan(NIGHTLY, late_ms, late_ms + 60_000, "skip", DAY_MS) == ([late_ms], 0, tomorrow_ms)
    assert plan(NIGHTLY, late_ms, late_ms + 60_001, "skip", DAY_MS) == ([], 1, tomorrow_ms)
    assert plan(NIGHTLY, late_ms, late_ms + 60_001, "one", DAY_MS) == ([late_ms], 0, tomorrow_ms)


@pytest.mark.parametrize("misfire", ["one", "skip", "all"])
def test_nothing_older_than_the_bound_is_fired(misfire: str) -> None:
    next_ms = plan(NIGHTLY, 0, NOW_MS, "one", DAY_MS).next_ms - DAY_MS
    bound_ms = NOW_MS - next_ms
    fires, missed, later_ms = plan(NIGHTLY, next_ms - 3 * DAY_MS, NOW_MS, misfire, bound_ms - 1)
    assert (fires, missed, later_ms) == ([], 4, next_ms + DAY_MS)
    fires, missed, _ = plan(NIGHTLY, next_ms - 3 * DAY_MS, NOW_MS, misfire, bound_ms)
    assert (fires, missed) == (([], 4) if misfire == "skip" else ([next_ms], 3))
    fires, missed, _ = plan(NIGHTLY, next_ms - 3 * DAY_MS, NOW_MS, misfire, bound_ms + 2 * DAY_MS)
    assert len(fires) == {"one": 1, "skip": 0, "all": 3}[misfire]
    assert missed == 4 - len(fires)


@pytest.mark.parametrize("rule", [every(1), crontab(), crontab(tz="Europe/Berlin")])
@pytest.mark.parametrize("misfire", ["one", "skip", "all"])
def test_a_long_pause_takes_no_long_time_and_brings_no_flood(rule: Rule, misfire: str) -> None:
    since_ms = rule.next_ms(NOW_MS - 40 * DAY_MS)
    began = time.thread_time()
    fires, missed, next_ms = plan(rule, since_ms, NOW_MS, misfire, 100 * DAY_MS)
    total = len(fires) + missed
    assert total == rule.count(since_ms, next_ms - 1)
    while next_ms <= NOW_MS:
        more, none, next_ms = plan(rule, next_ms, NOW_MS, misfire, 100 * DAY_MS)
        assert (none, len(more)) == (0, 100)
        fires += more
    assert time.thread_time() - began < 1  # it is some ms
    assert len(fires) == (1000 if misfire == "all" else 1)
    assert fires[-1] == NOON_MS
    assert all(later == rule.next_ms(earlier) for earlier, later in pairwise(fires))


def test_a_stored_time_that_the_rule_does_not_know_any_more_is_passed_over() -> None:
    """The rules of a zone were changed meanwhile, as governments do."""
    stored_ms = round(datetime(2026, 6, 15, 2, tzinfo=UTC).timestamp() * 1000)
    assert plan(NIGHTLY, stored_ms, stored_ms + 5, "all", DAY_MS) == ([], 0, stored_ms + DAY_MS - 3_600_000)


def test_policies_are_named() -> None:
    with pytest.raises(InvalidTask, match="misfire is 'none'; it must be one of 'one', 'skip', 'all'"):
        check_misfire("none")
