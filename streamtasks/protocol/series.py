r"""Series of counts for charts: what finished in a minute or an hour, how long it ran and waited, as short texts.

A text has a line for each minute of an hour, or each hour of a day, in which something happened: its number, then a
letter and a count for each count that is not 0. ``"\n7a12e345g12"`` says that in minute 7 twelve tasks succeeded, which
ran for 345 ms together, each of them for at most 1 ms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from string import ascii_letters
from typing import Final

__all__ = [
    "ALL",
    "COUNTS",
    "FIRST",
    "MOST_QUEUES",
    "MOST_TASKS",
    "OTHER",
    "RUN_BOUNDS_S",
    "WAIT_BOUNDS_S",
    "add",
    "counts_of",
    "of_queue",
    "of_task",
    "percentile_s",
    "summed",
    "text_of",
]

RUN_BOUNDS_S: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)
WAIT_BOUNDS_S: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0)
"""Upper bounds of the buckets of histograms, seconds; one more bucket has what is above."""

FIRST: Final = ("succeeded", "failed", "other", "retried", "run_ms", "wait_ms")
"""The first counts; behind them come the buckets of run times, then those of waits."""

COUNTS: Final = len(FIRST) + len(RUN_BOUNDS_S) + 1 + len(WAIT_BOUNDS_S) + 1
"""How many counts there are; each has a letter."""

OTHER: Final = "other"
"""Stands for the names that have no series of their own, because there are too many."""

ALL: Final = "*"
"""The series of everything together."""

MOST_QUEUES: Final = 100
MOST_TASKS: Final = 500
"""So many names have series of their own in an hour and in a day."""

_COUNT: Final = re.compile(r"([a-zA-Z])(\d+)")
_LINE: Final = re.compile(r"\n(\d+)([a-zA-Z]\S*)")


def of_queue(queue: str) -> str:
    """Return the name of a queue's series."""
    return f"q:{queue}"


def of_task(task: str) -> str:
    """Return the name of a task's series."""
    return f"t:{task}"


def text_of(counts: Sequence[int]) -> str:
    """Return counts as a text; zeros are left out."""
    return "".join(f"{letter}{count}" for letter, count in zip(ascii_letters, counts, strict=False) if count)


def add(text: str, number: int, counts: str) -> str:
    """Add counts to the line of a minute or an hour in a text (add_series.lua)."""
    found = re.search(rf"\n{number}([a-zA-Z][^\n]*)", text)
    if found is None:
        return f"{text}\n{number}{counts}"
    sums = [one + more for one, more in zip(_counts(found[1]), _counts(counts), strict=True)]
    return f"{text[: found.start()]}{text[found.end() :]}\n{number}{text_of(sums)}"


def counts_of(text: str) -> dict[int, list[int]]:
    """Return the counts of each minute or hour in a text."""
    return {int(number): _counts(counts) for number, counts in _LINE.findall(text)}


def percentile_s(buckets: Sequence[int], bounds_s: Sequence[float], share: float) -> float | None:
    """Estimate a percentile from a histogram, seconds; None: nothing was counted.

    Inside a bucket values are taken to be spread evenly; what is above the last bound counts as that.
    """
    left = share * sum(buckets)
    if not left:
        return None
    low = 0.0
    for count, high in zip(buckets, bounds_s, strict=False):
        if count and left <= count:
            return low + (high - low) * left / count
        left, low = left - count, high
    return bounds_s[-1]


def _counts(text: str) -> list[int]:
    found = [0] * COUNTS
    for letter, count in _COUNT.findall(text):
        if (place := ascii_letters.index(letter)) < COUNTS:
            found[place] += int(count)
    return found


def summed(some: Iterable[Sequence[int]]) -> list[int]:
    """Return counts added up."""
    return [sum(column) for column in zip([0] * COUNTS, *some, strict=True)]
