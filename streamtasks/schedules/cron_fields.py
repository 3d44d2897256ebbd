"""The fields of a crontab: check what users give, and write it as cronsim reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from ..exceptions import InvalidTask
from .cron_times import CronTimes

__all__ = ["FIELDS", "check_field", "cron_times", "zone_of"]

FIELDS: Final = {"minute": 0, "hour": 1, "day_of_week": 4, "day_of_month": 2, "month_of_year": 3}
"""Fields, in the order in which `crontab` takes them, and their places in an expression."""

_RANGES: Final = {"minute": 59, "hour": 23, "day_of_week": 6, "day_of_month": 31, "month_of_year": 12}
_DAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS: Final = (
    "", "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_NAMES: Final[dict[str, dict[str, int]]] = {
    name: {word[:size]: number for number, word in enumerate(words) if word for size in (3, len(word))}
    for name, words in (("day_of_week", _DAYS), ("month_of_year", _MONTHS))
}
_TERM: Final = re.compile(r"\*(/\d+)?|\d+(-\d+)?(/\d+)?|L|LW|\dL|\d#\d", re.ASCII)
_BACKWARDS: Final = re.compile(r"(\d+)-(\d+)(?:/(\d+))?")


def check_field(name: str, place: int, value: Any) -> str:
    """Return a field as cronsim reads it.

    Raises:
        InvalidTask: it is wrong.
    """
    text = _text(name, value)
    if text is not None:
        terms = text.split(",")
        alone = ["*"] * 5
        alone[place] = text = ",".join(_forwards(name, term) for term in terms)
        try:
            if all(map(_TERM.fullmatch, terms)):
                cron_times(" ".join(alone), "UTC")
                return text
        except ValueError:
            pass
    least = 1 if name in ("day_of_month", "month_of_year") else 0
    most = 7 if name == "day_of_week" else _RANGES[name]
    words = ", or names" if name in _NAMES else ""
    raise InvalidTask(
        f"crontab(): {name} is {value!r}; it must be from {least} to {most}{words}: a number, a list of them, "
        f"or a text like '*', '*/2', '{least},{least + 2}' or '{least}-{least + 2}'."
    )


def _text(name: str, value: Any) -> str | None:
    """Return a field as text, with numbers instead of names."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        if not isinstance(value, Iterable) or isinstance(value, (bytes, Mapping)):
            return None
        texts = [_text(name, one) or "?" for one in value]
        if isinstance(value, (set, frozenset)):
            texts.sort(key=lambda text: (len(text), text))
        return ",".join(texts)
    names = _NAMES.get(name, {})
    text = "".join(value.split())
    # 'L' and 'LW' are left.
    return re.sub("[A-Za-z]+", lambda word: str(names.get(word[0].lower(), word[0].upper())), text)


def _forwards(name: str, term: str) -> str:
    """Return a range that goes on after the end of the hour, day, week or year as a list; else what it was."""
    found = _BACKWARDS.fullmatch(term)
    if found is None or int(found[1]) <= int(found[2]) or int(found[1]) > _RANGES[name]:
        return term
    least = 1 if name in ("day_of_month", "month_of_year") else 0
    values = [*range(int(found[1]), _RANGES[name] + 1), *range(least, int(found[2]) + 1)]
    step = int(found[3] or 1)
    return ",".join(map(str, values[::step])) if step else term


@lru_cache(maxsize=1000)
def cron_times(expression: str, zone: str) -> CronTimes:
    """Return the times of an expression in a zone, by its name.

    Raises:
        ValueError: the expression has no times.
    """
    return CronTimes(expression, zone_of(zone))


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its name.

    Raises:
        KeyError, ValueError, OSError: it is not known here.
    """
    return UTC if name == "UTC" else ZoneInfo(name)
