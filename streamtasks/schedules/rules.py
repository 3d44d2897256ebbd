"""Rules of schedules: `crontab` and `every`. They are immutable values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from ..exceptions import DecodeError, InvalidTask
from ..protocol.validation import is_number
from .cron_fields import FIELDS, check_field, cron_times, zone_of
from .cron_times import DAY_S, CronTimes

__all__ = ["Rule", "RuleLike", "crontab", "every", "rule_from_dict", "rule_of", "zone_name"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_LEAST_MS: Final = 100
_MOST_MS: Final = 36_525 * DAY_S * 1000
_COUNTED_MS: Final = 366 * DAY_S * 1000


class Rule(Protocol):
    """When a schedule is due. Times are whole ms since the epoch, UTC."""

    def next_after(self, moment: datetime) -> datetime:
        """Return the first time later than ``moment``, as an aware datetime."""
        ...

    def next_ms(self, after_ms: int) -> int:
        """Return the first time later than ``after_ms``."""
        ...

    def latest(self, first_ms: int, last_ms: int, most: int) -> list[int]:
        """Return the last ``most`` times from ``first_ms`` to ``last_ms``, both included, oldest first."""
        ...

    def count(self, first_ms: int, last_ms: int) -> int:
        """Return how many times there are from ``first_ms`` to ``last_ms``, both included."""
        ...

    def in_zone(self, zone: str) -> Rule:
        """Return the same rule, in ``zone`` unless it names one itself."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object that names its zone."""
        ...


type RuleLike = Rule | timedelta | float | str
"""The ways to give a rule: a `Rule`, an interval, seconds, or the five fields of cron."""


@dataclass(frozen=True, slots=True, init=False, repr=False)
class every:  # noqa: N801  # written like a function
    """A fixed period: ``every(30)``, ``every(timedelta(hours=6))``.

    Its times are the multiples of the period since 1 January 1970 UTC, so a restart or a deploy does not move them:
    ``every(3600)`` is each full hour. For times of the day use `crontab`.

    Args:
        period: seconds, or a timedelta: from 0.1 s to 100 years, in whole milliseconds.

    Raises:
        InvalidTask: the period is something else.
    """

    period_ms: int

    def __init__(self, period: float | timedelta) -> None:
        period_s = period.total_seconds() if isinstance(period, timedelta) else period
        period_ms = round(period_s * 1000) if is_number(period_s) else 0
        if not _LEAST_MS <= period_ms <= _MOST_MS or not math.isclose(period_ms, period_s * 1000, rel_tol=1e-9):
            raise InvalidTask(
                f"every() got {period!r}; it takes seconds or a timedelta, from 0.1 s to 100 years, in whole ms."
            )
        object.__setattr__(self, "period_ms", period_ms)

    def __repr__(self) -> str:
        return f"every({self.period_ms / 1000:.12g})"

    def next_after(self, moment: datetime) -> datetime:
        """Return the first time later than ``moment`` (naive: UTC), in the same zone."""
        zone = moment.tzinfo or UTC
        return (_EPOCH + self.next_ms(_floor_ms(moment, UTC)) * _MS).astimezone(zone)

    def next_ms(self, after_ms: int) -> int:
        """See `Rule.next_ms`."""
        return (after_ms // self.period_ms + 1) * self.period_ms

    def latest(self, first_ms: int, last_ms: int, most: int) -> list[int]:
        """See `Rule.latest`."""
        end = last_ms // self.period_ms + 1
        start = max(-(-first_ms // self.period_ms), end - most)
        return [turn * self.period_ms for turn in range(start, end)]

    def count(self, first_ms: int, last_ms: int) -> int:
        """See `Rule.count`."""
        return max(0, last_ms // self.period_ms + 1 + -first_ms // self.period_ms)

    def in_zone(self, zone: str) -> every:  # noqa: ARG002
        """See `Rule.in_zone`: its times are the same everywhere."""
        return self

    def as_dict(self) -> dict[str, Any]:
        """See `Rule.as_dict`."""
        return {"every_ms": self.period_ms}


@dataclass(frozen=True, slots=True, init=False, repr=False)
class crontab:  # noqa: N801  # written like a function
    """Times of certain days: ``crontab(hour=9, minute=0)``, ``crontab(minute="*/15", day_of_week="mon-fri")``.

    Each field is a whole number, a list of them (any iterable), or a text: ``"*"``, ``"*/5"``, ``"1,15"``, ``"1-5"``,
    ``"0-30/10"``, ``"22-4"``, ``"mon-fri"``, ``"jan,jul"``. All fields must match, also ``day_of_week`` *and*
    ``day_of_month`` (unlike Unix cron, where one of them is enough). A Sunday is 0 or 7. cronsim's own forms are
    accepted, too: ``day_of_month="L"`` (the last), ``"LW"`` (the last from Monday to Friday), ``day_of_week="fri#2"``
    (the second), ``"5L"`` (the last Friday).

    When the clocks are changed: if neither ``minute`` nor ``hour`` begins with ``*``, what falls into the gap happens
    when the gap ends (once), and what the clocks show twice happens the first time only. Otherwise the rule follows
    the clocks: there is nothing in the gap, and what they show twice happens twice.

    Args:
        minute: 0 to 59.
        hour: 0 to 23.
        day_of_week: 0 to 7, or names.
        day_of_month: 1 to 31.
        month_of_year: 1 to 12, or names.
        tz: the zone, a name or a ``ZoneInfo``; None: the one of the app, or UTC where there is none.

    Raises:
        InvalidTask: a field or the zone is wrong, or there is no such date.
    """

    minute: str
    hour: str
    day_of_week: str
    day_of_month: str
    month_of_year: str
    tz: str | None

    def __init__(
        self,
        minute: int | str | Iterable[int] = "*",
        hour: int | str | Iterable[int] = "*",
        day_of_week: int | str | Iterable[int | str] = "*",
        day_of_month: int | str | Iterable[int] = "*",
        month_of_year: int | str | Iterable[int | str] = "*",
        tz: str | tzinfo | None = None,
    ) -> None:
        given = (minute, hour, day_of_week, day_of_month, month_of_year)
        for (name, place), value in zip(FIELDS.items(), given, strict=True):
            object.__setattr__(self, name, check_field(name, place, value))
        object.__setattr__(self, "tz", None if tz is None else zone_name(tz))
        try:
            cron_times(self._expression(), "UTC")
        except ValueError as error:
            raise InvalidTask(
                f"{self!r}: there is no such date: day_of_month is {self.day_of_month}, "
                f"month_of_year {self.month_of_year}, day_of_week {self.day_of_week}."
            ) from error

    def __repr__(self) -> str:
        given = [(name, getattr(self, name)) for name in FIELDS]
        shown = [f"{name}={value if value.isdigit() else repr(value)}" for name, value in given if value != "*"]
        if self.tz is not None:
            shown.append(f"tz={self.tz!r}")
        return f"crontab({', '.join(shown)})"

    @property
    def zone(self) -> tzinfo:
        """The time zone of the rule."""
        return zone_of(self.tz or self._default_zone())

    def next_after(self, moment: datetime) -> datetime:
        """Return the first time later than ``moment`` (naive: of the rule's zone), in the rule's zone."""
        zone = self.zone
        found = _EPOCH + self.next_ms(_floor_ms(moment, zone)) * _MS
        return found.astimezone(zone)

    def next_ms(self, after_ms: int) -> int:
        """See `Rule.next_ms`."""
        return self._known().next_s(after_ms // 1000) * 1000

    def latest(self, first_ms: int, last_ms: int, most: int) -> list[int]:
        """See `Rule.latest`."""
        found = self._known().latest(-(-first_ms // 1000), last_ms // 1000, most)
        return [at_s * 1000 for at_s in found]

    def count(self, first_ms: int, last_ms: int) -> int:
        """See `Rule.count`; it counts back for a year."""
        first_ms = max(first_ms, last_ms - _COUNTED_MS)
        return self._known().count(-(-first_ms // 1000), last_ms // 1000) if first_ms <= last_ms else 0

    def in_zone(self, zone: str) -> crontab:
        """See `Rule.in_zone`."""
        return crontab(**{name: getattr(self, name) for name in FIELDS}, tz=self.tz or zone)

    def as_dict(self) -> dict[str, Any]:
        """See `Rule.as_dict`."""
        return {"crontab": {name: getattr(self, name) for name in FIELDS}, "tz": self.tz or self._default_zone()}

    def _default_zone(self) -> str:
        return "UTC"

    def _expression(self) -> str:
        return f"{self.minute} {self.hour} {self.day_of_month} {self.month_of_year} {self.day_of_week}"

    def _known(self) -> CronTimes:
        return cron_times(self._expression(), self.tz or self._default_zone())


def rule_of(value: Any) -> Rule:
    """Return the rule for a rule, a timedelta, a number of seconds, or cron's five fields as a string.

    Raises:
        InvalidTask: it is none of these.
    """
    if isinstance(value, (crontab, every)):
        return value
    if isinstance(value, timedelta) or is_number(value):
        return every(value)
    if isinstance(value, str):
        fields = value.split()
        if len(fields) == 5:
            minute, hour, day_of_month, month_of_year, day_of_week = fields
            return crontab(minute, hour, day_of_week, day_of_month, month_of_year)
    raise InvalidTask(
        f"schedule is {value!r}; it must be crontab(...), every(...), a timedelta, a number of seconds, or the five "
        "fields of cron as a string (minute, hour, day of month, month, day of week)."
    )


def rule_from_dict(wire: Any) -> Rule:
    """Read what `Rule.as_dict` returned.

    Raises:
        DecodeError: it is something else.
    """
    try:
        if "every_ms" in wire:
            return every(timedelta(milliseconds=wire["every_ms"]))
        return crontab(**{name: wire["crontab"][name] for name in FIELDS}, tz=wire["tz"])
    except (KeyError, TypeError, InvalidTask) as error:
        raise DecodeError(f"a schedule's rule is {str(wire)[:80]}: {error}") from error


def zone_name(tz: str | tzinfo) -> str:
    """Return the name of a time zone.

    Raises:
        InvalidTask: the zone is unknown here, or has no name.
    """
    name = "UTC" if tz is UTC else tz.key if isinstance(tz, ZoneInfo) else tz
    if not isinstance(name, str) or not name:
        raise InvalidTask(f"tz is {tz!r}; it must be the name of a time zone ('Europe/Berlin') or a ZoneInfo.")
    try:
        zone_of(name)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidTask(
            f"tz is {name!r}, which is no time zone that is known here; names are like 'Europe/Berlin'. "
            "Where a system knows none at all, install the package tzdata."
        ) from error
    return name


def _floor_ms(moment: datetime, zone: tzinfo) -> int:
    """Return the last whole ms since the epoch that is not after a datetime (naive: of that zone)."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    return (aware.astimezone(UTC) - _EPOCH) // _MS
