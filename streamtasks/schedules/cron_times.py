"""The times of a cron expression in a time zone, also on the days when clocks are put forward or back.

The expression itself is read and matched by cronsim, in local time without a zone; what a change of the clocks does
is decided here. Times are whole seconds: an *instant* counts since the epoch (UTC), a *wall* time is what the clocks
show, counted as if they were UTC.

As in Debian's cron: if minutes and hours are both fixed (neither begins with ``*``), what falls into a gap happens
when the gap ends, once, and what the clocks show twice happens the first time. Otherwise the rule follows the clocks:
nothing happens in a gap, and what they show twice happens twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from cronsim import CronSim, CronSimError

__all__ = ["DAY_S", "CronTimes"]

DAY_S: Final = 86_400
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # wall times have no zone
_FIRST_DAY: Final = date(1970, 1, 1)
_LEAST_S: Final = 10_957 * DAY_S
"""1 January 2000: from there, 50 years hold every date there is."""


class CronTimes:
    """The times of an expression of five fields in a zone. A day must match both of its fields.

    Raises:
        ValueError: the expression has no meaning, or no day ever matches it.
    """

    def __init__(self, expression: str, zone: tzinfo) -> None:
        self._expression = expression
        self._zone = zone
        minute, hour, *_ = expression.split()
        self._is_fixed = not minute.startswith("*") and not hour.startswith("*")
        try:
            self._fields = self._sim(_LEAST_S)
            self._times = [
                60 * (60 * hour + minute)
                for hour in sorted(self._fields.hours)
                for minute in sorted(self._fields.minutes)
            ]
            next(self._walls(_LEAST_S))
        except (CronSimError, StopIteration) as error:
            raise ValueError(f"{expression!r} has no times") from error

    def next_s(self, after_s: int) -> int:
        """Return the first instant later than ``after_s``."""
        if self._zone is UTC:
            return next(self._walls(after_s))
        return self._next_fixed(after_s) if self._is_fixed else self._next_shown(after_s)

    def latest(self, first_s: int, last_s: int, most: int) -> list[int]:
        """Return the last ``most`` instants from ``first_s`` to ``last_s``, both included, oldest first."""
        found: list[int] = []
        for day in reversed(self._days(first_s, last_s)):
            found[:0] = [at_s for at_s in self._of_day(day) if first_s <= at_s <= last_s]
            if len(found) >= most:
                break
        return found[max(0, len(found) - most) :]

    def count(self, first_s: int, last_s: int) -> int:
        """Return how many instants there are from ``first_s`` to ``last_s``, both included."""
        days = self._days(first_s, last_s)
        inner = range(days.start + 3, days.stop - 3)  # days of which all counts
        return sum(len(self._of_day(day)) for day in inner) + sum(
            first_s <= at_s <= last_s for day in days if day not in inner for at_s in self._of_day(day)
        )

    def _next_fixed(self, after_s: int) -> int:
        return next(
            at_s for wall_s in self._walls(after_s + self._offset(after_s)) if (at_s := self._instant(wall_s)) > after_s
        )

    def _next_shown(self, after_s: int) -> int:
        start_s, wall_s = after_s, after_s + self._offset(after_s)
        while True:
            found_s = next(self._walls(wall_s)) - self._offset(start_s)
            change_s = self._first_change(start_s, found_s)
            if change_s is None:
                return found_s
            # The clocks are changed before that: go on with what they show then, which may itself match.
            start_s, wall_s = change_s, change_s + self._offset(change_s) - 1

    def _sim(self, wall_s: int) -> CronSim:
        sim = CronSim(self._expression, _EPOCH + timedelta(seconds=wall_s))
        sim.day_and = True
        return sim

    def _walls(self, after_s: int) -> Iterator[int]:
        for found in self._sim(after_s):
            yield (found.date() - _FIRST_DAY).days * DAY_S + found.hour * 3600 + found.minute * 60

    # -- days: to count and to look back without a step for each instant ------------------------------

    def _days(self, first_s: int, last_s: int) -> range:
        """Return the days, as numbers since the epoch, that hold these instants; one more on each side."""
        first, last = ((at_s + self._offset(at_s)) // DAY_S for at_s in (first_s, last_s))
        return range(first - 1, last + 2)

    def _of_day(self, day: int) -> list[int]:
        """Return the instants from one midnight to the next."""
        is_match, was_match = (self._is_match(_FIRST_DAY + timedelta(days=one)) for one in (day, day - 1))
        if not is_match and not was_match:  # of the day before, something may be left if the clocks were changed
            return []
        start_s, end_s = self._instant(day * DAY_S), self._instant((day + 1) * DAY_S)
        offset_s = self._offset(start_s)
        if start_s + offset_s == day * DAY_S and self._offset(start_s - 1) == offset_s == self._offset(end_s):
            return [start_s + time_s for time_s in self._times] if is_match else []
        found: list[int] = []
        at_s = self.next_s(start_s - 1)
        while at_s < end_s:
            found.append(at_s)
            at_s = self.next_s(at_s)
        return found

    def _is_match(self, day: date) -> bool:
        return day.month in self._fields.months and self._fields.match_day(day)

    # -- the zone --------------------------------------------------------------------------------------

    def _offset(self, at_s: int) -> int:
        """Return how far the clocks are ahead of UTC at an instant, seconds."""
        offset = datetime.fromtimestamp(at_s, self._zone).utcoffset()
        assert offset is not None
        return offset.days * DAY_S + offset.seconds

    def _instant(self, wall_s: int) -> int:
        """Return when the clocks show that for the first time; if they never do, when they pass it over."""
        at_s = int((_EPOCH + timedelta(seconds=wall_s)).replace(tzinfo=self._zone).timestamp())
        if at_s + self._offset(at_s) == wall_s:
            return at_s
        return self._change(at_s - DAY_S, at_s)

    def _first_change(self, low_s: int, high_s: int) -> int | None:
        """Return the first instant after ``low_s``, up to ``high_s``, that has another offset than it; None: none."""
        offset_s = self._offset(low_s)
        while low_s < high_s:
            next_s = min(low_s + DAY_S, high_s)
            if self._offset(next_s) != offset_s:
                return self._change(low_s, next_s)
            low_s = next_s
        return None

    def _change(self, low_s: int, high_s: int) -> int:
        """Return the first instant with the offset of ``high_s``; ``low_s``, before it, has another one."""
        offset_s = self._offset(high_s)
        while high_s - low_s > 1:
            middle_s = (low_s + high_s) // 2
            if self._offset(middle_s) == offset_s:
                high_s = middle_s
            else:
                low_s = middle_s
        return high_s
