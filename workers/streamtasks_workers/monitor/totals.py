"""Add up what the processes of a worker have counted, with a bound on how many names there are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

from ..process.counted import OTHER, OUTCOMES, RETRY_REASONS, Exemplar, Histogram
from ..process.counters import Counters

__all__ = ["MOST_NAMES", "Names", "Totals"]

MOST_NAMES: Final = 500
"""So many tasks, each with its queue, have metrics of their own."""


class Names:
    """Names that have metrics of their own: the first that come; all others are `OTHER`."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._known: set[tuple[str, ...]] = set()

    def of(self, *names: str) -> tuple[str, ...]:
        """Return these names, or as many `OTHER`."""
        if names not in self._known:
            if len(self._known) >= self._most:
                return (OTHER,) * len(names)
            self._known.add(names)
        return names


class Totals:
    """What a worker has counted, by labels.

    Attributes:
        finished: (queue, task, outcome) -> attempts that ended so.
        retries: (queue, task, reason) -> attempts that ran again.
        durations: task -> how long its attempts ran.
        exemplars: task -> its last long attempt.
        waits: queue -> how long messages in it waited.
        late: how late delayed messages started.
        calls: call of the store -> how long it took.
        numbers: (family, label) -> a plain number.
    """

    def __init__(self, all_counters: Iterable[Counters], names: Names) -> None:
        self.finished: Counter[tuple[str, str, str]] = Counter()
        self.retries: Counter[tuple[str, str, str]] = Counter()
        self.durations: dict[str, Histogram] = {}
        self.exemplars: dict[str, Exemplar] = {}
        self.waits: dict[str, Histogram] = {}
        self.late: dict[str, Histogram] = {}
        self.calls: dict[str, Histogram] = {}
        self.numbers: defaultdict[tuple[str, str], int] = defaultdict(int)
        for counters in all_counters:
            for row, at in counters.rows():
                match row.family:
                    case "task":
                        self._add_task(counters, at, *names.of(row.first, row.second))
                    case "wait":
                        histogram = counters.wait(at)
                        if row.first != OTHER or any(histogram.buckets):
                            _add(self.waits, names.of(row.first)[0], histogram)
                    case "late":
                        _add(self.late, "", counters.wait(at))
                    case "call":
                        _add(self.calls, row.first, counters.call(at))
                    case family:
                        self.numbers[family, row.first] += counters.number(at)

    def _add_task(self, counters: Counters, at: int, queue: str, task: str) -> None:
        numbers = counters.task(at)
        if (queue, task) == (OTHER, OTHER) and not any(numbers.duration.buckets):
            return
        for outcome, count in zip(OUTCOMES, numbers.outcomes, strict=True):
            if count or outcome in ("SUCCESS", "FAILURE"):
                self.finished[queue, task, outcome.lower()] += count
        for reason, count in zip(RETRY_REASONS, numbers.retries, strict=True):
            if count:
                self.retries[queue, task, reason] += count
        _add(self.durations, task, numbers.duration)
        known = self.exemplars.get(task)
        if numbers.exemplar is not None and (known is None or known.at_s < numbers.exemplar.at_s):
            self.exemplars[task] = numbers.exemplar


def _add(histograms: dict[str, Histogram], label: str, more: Histogram) -> None:
    known = histograms.get(label)
    if known is not None:
        buckets = tuple(one + other for one, other in zip(known.buckets, more.buckets, strict=True))
        more = Histogram(buckets, known.total + more.total)
    histograms[label] = more
