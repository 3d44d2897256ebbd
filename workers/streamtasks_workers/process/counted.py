"""What is counted for metrics: outcomes, reasons, the bounds of buckets, and the values that a reader gets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from streamtasks.protocol.callback_message import CALLBACK
from streamtasks.protocol.series import ALL, OTHER, RUN_BOUNDS_S, WAIT_BOUNDS_S, of_queue, of_task, summed, text_of

__all__ = [
    "CALL_BOUNDS_S",
    "DURATION_BOUNDS_S",
    "DURATION_PLACES",
    "OTHER",
    "OUTCOMES",
    "RETRY_REASONS",
    "RUN_BOUNDS_S",
    "SLOW_NS",
    "WAIT_BOUNDS_S",
    "Exemplar",
    "Histogram",
    "Row",
    "TaskNumbers",
    "series_counts",
    "series_texts",
]

OUTCOMES: Final = ("SUCCESS", "FAILURE", "IGNORED", "EXPIRED", "REVOKED", "DEAD")
RETRY_REASONS: Final = ("raised", "time_limit", "unknown_task", "crash")

DURATION_BOUNDS_S: Final = (0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 300.0)
CALL_BOUNDS_S: Final = (0.0025, 0.01, 0.1, 1.0)
"""Upper bounds of the buckets of histograms, seconds; one more bucket has what is above."""

DURATION_PLACES: Final = tuple(bisect_left(DURATION_BOUNDS_S, bound) for bound in (*RUN_BOUNDS_S, float("inf")))
"""Run times are counted in finer buckets than metrics show: of each of these, the one of `DURATION_BOUNDS_S`."""

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


def series_counts(
    outcomes: Sequence[int], retries: int, sums_ms: tuple[int, int], histograms: tuple[Sequence[int], Sequence[int]]
) -> list[int]:
    """Return counts in the order of `streamtasks.protocol.series`.

    Args:
        outcomes: in the order of `OUTCOMES`.
        retries: of whatever reason.
        sums_ms: how long attempts ran, and how long messages waited.
        histograms: of both, by `RUN_BOUNDS_S` and `WAIT_BOUNDS_S`.
    """
    success, failure, ignored, expired, revoked, dead = outcomes
    runs, waits = histograms
    return [success + ignored, failure + dead, expired + revoked, retries, *sums_ms, *runs, *waits]


def series_texts(some: Iterable[tuple[str, str, list[int]]]) -> list[tuple[str, str]]:
    """Return each series and its counts, as `NewSeries` has them, of what was counted by queue and task."""
    found: dict[str, list[list[int]]] = {}
    for queue, task, counts in some:
        if task == CALLBACK:
            continue  # a message of our own
        for name in (ALL, of_queue(queue), of_task(task)):
            found.setdefault(name, []).append(counts)
    texts = [(name, text_of(summed(its))) for name, its in sorted(found.items())]
    return [one for one in texts if one[1]]
