"""What is counted for metrics: outcomes, reasons, the bounds of buckets, and the values that a reader gets."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = [
    "CALL_BOUNDS_S",
    "DURATION_BOUNDS_S",
    "OTHER",
    "OUTCOMES",
    "RETRY_REASONS",
    "SLOW_NS",
    "WAIT_BOUNDS_S",
    "Exemplar",
    "Histogram",
    "Row",
    "TaskNumbers",
]

OTHER: Final = "other"
"""Stands for the names that have no row of their own, because there are too many, or because nobody knows them."""

OUTCOMES: Final = ("SUCCESS", "FAILURE", "IGNORED", "EXPIRED", "REVOKED", "DEAD")
RETRY_REASONS: Final = ("raised", "time_limit", "unknown_task", "crash")

DURATION_BOUNDS_S: Final = (0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 300.0)
WAIT_BOUNDS_S: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0)
CALL_BOUNDS_S: Final = (0.0025, 0.01, 0.1, 1.0)
"""Upper bounds of the buckets of histograms, seconds; one more bucket has what is above."""

SLOW_NS: Final = 100_000_000
"""Of an attempt that takes so long, the id is kept as an exemplar, until the next one."""


class Row(NamedTuple):
    """What a row counts: a family of metrics and up to two labels."""

    family: str
    first: str = ""
    second: str = ""


class Histogram(NamedTuple):
    """``buckets``: how many observations each has, not cumulated. ``total``: their sum, in seconds."""

    buckets: tuple[int, ...]
    total: float


class Exemplar(NamedTuple):
    """A long attempt: the task's id, how long it took, seconds, and when it ended, seconds since the epoch."""

    id: str
    seconds: float
    at_s: float


class TaskNumbers(NamedTuple):
    """Of one task in one queue. ``outcomes``, ``retries``: in the order of `OUTCOMES` and `RETRY_REASONS`."""

    outcomes: tuple[int, ...]
    duration: Histogram
    retries: tuple[int, ...]
    exemplar: Exemplar | None
