"""The metrics of a worker, for Prometheus."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import accumulate
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from ..process.board import Slot
from ..process.counted import CALL_BOUNDS_S, DURATION_BOUNDS_S, WAIT_BOUNDS_S, Histogram
from ..process.worker_counters import WorkerCounters
from ..roles.base import ServedApp
from .totals import Names, Totals

__all__ = ["WorkerCollector"]

FENCED: Final = ("settle", "renew", "no_renewal")
DEAD: Final = ("crashed", "worker lost", "unknown task", "undecodable", "refused")
"""Labels that are shown from the start: that a number rises can only be seen if it was there before."""


class WorkerCollector(Collector):
    """Collects what the processes of a worker have counted, and what they do now.

    Args:
        apps: that the worker serves.
        counters: of the worker; each app has a keeper of its own in it.
    """

    def __init__(self, apps: Sequence[ServedApp], counters: WorkerCounters) -> None:
        self._apps = apps
        self._counters = counters
        self._names = Names()
        self._queues = Names()

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics of the worker."""
        keepers = [self._counters.keeper, *(app.counters.keeper for app in self._apps if app.counters is not None)]
        totals = Totals((*self._counters.boards, *dict.fromkeys(keepers)), self._names)
        yield from _task_metrics(totals)
        yield from _store_metrics(totals)
        yield from self._present()
        build = GaugeMetricFamily(
            "streamtasks_build_info", "Versions; always 1.", labels=("version", "python", "django")
        )
        build.add_metric((_version("streamtasks"), platform.python_version(), _version("django")), 1)
        yield build

    def _present(self) -> Iterator[Metric]:
        """Yield what the children do now."""
        running: dict[str, int] = {}
        busy = slots = 0
        last_ages = []
        now, now_ns = time.time(), time.monotonic_ns()
        for app in self._apps:
            most = max(1, app.options.threads, app.options.async_concurrency)
            for child in list(app.children.values()):
                board = child.board
                held = [slot for slot, state in enumerate(board.states()) if state == Slot.RUNNING]
                for slot in held:
                    queue = self._queues.of(board.claimed(slot).stream.partition(":")[2])[0]
                    running[queue] = running.get(queue, 0) + 1
                busy, slots = busy + len(held), slots + most
                if not held:
                    last_ages.append((now_ns - (board.exchanges()[0] or child.born_ns)) / 1e9)
        gauge = GaugeMetricFamily("streamtasks_tasks_running", "Attempts that run now.", labels=("queue",))
        for queue, count in running.items():
            gauge.add_metric((queue,), count)
        yield gauge
        gauge = GaugeMetricFamily(
            "streamtasks_worker_slots", "Tasks that the worker can run at once.", labels=("state",)
        )
        gauge.add_metric(("busy",), busy)
        gauge.add_metric(("idle",), max(0, slots - busy))
        yield gauge
        about = "When the idle child that has been silent for longest last reached the store; now, if all are busy."
        oldest = now - max(last_ages, default=0.0)
        yield GaugeMetricFamily("streamtasks_last_claim_timestamp_seconds", about, oldest)


def _task_metrics(totals: Totals) -> Iterator[Metric]:
    labels = ("queue", "task", "outcome")
    finished = CounterMetricFamily("streamtasks_tasks_finished", "Attempts that ended a task.", labels=labels)
    for values, count in totals.finished.items():
        finished.add_metric(values, count)
    yield finished
    labels = ("queue", "task", "reason")
    retries = CounterMetricFamily("streamtasks_task_retries", "Attempts after which a task runs again.", labels=labels)
    for values, count in totals.retries.items():
        retries.add_metric(values, count)
    yield retries
    durations = HistogramMetricFamily("streamtasks_task_duration_seconds", "How long attempts ran.", labels=("task",))
    for task, histogram in totals.durations.items():
        exemplar = totals.exemplars.get(task)
        shown = None
        if exemplar is not None:
            shown = Exemplar({"task_id": exemplar.id}, exemplar.seconds, exemplar.at_s)
        _add(durations, (task,), histogram, DURATION_BOUNDS_S, shown)
    yield durations
    about = "How long messages that could be claimed waited until they started, without deliberate delays."
    yield _histograms("streamtasks_task_wait_seconds", about, "queue", totals.waits, WAIT_BOUNDS_S)
    late = HistogramMetricFamily(
        "streamtasks_task_late_seconds", "How long after their time delayed and scheduled messages started."
    )
    for histogram in totals.late.values():
        _add(late, (), histogram, WAIT_BOUNDS_S)
    yield late


def _store_metrics(totals: Totals) -> Iterator[Metric]:
    about = "How long the store took to answer the keeper."
    yield _histograms("streamtasks_store_call_seconds", about, "script", totals.calls, CALL_BOUNDS_S)
    for family, name, about, label, always in (
        ("fenced", "streamtasks_fenced", "Attempts whose claim was lost to another worker.", "call", FENCED),
        ("dead", "streamtasks_dead_letters", "Messages that became dead letters.", "reason", DEAD),
        ("store_error", "streamtasks_store_errors", "Calls of the store that failed.", "kind", ("unavailable",)),
    ):
        counter = CounterMetricFamily(name, about, labels=(label,))
        found = {value: count for (of, value), count in totals.numbers.items() if of == family}
        for value, count in (dict.fromkeys(always, 0) | found).items():
            counter.add_metric((value.replace(" ", "_"),), count)
        yield counter
    yield CounterMetricFamily(
        "streamtasks_reclaimed", "Messages taken back from workers that vanished.", totals.numbers["reclaimed", ""]
    )
    yield CounterMetricFamily(
        "streamtasks_store_reconnects",
        "How often a child reached the store again after it had been away.",
        totals.numbers["reconnect", ""],
    )


def _histograms(
    name: str, about: str, label: str, found: Mapping[str, Histogram], bounds: Sequence[float]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, about, labels=(label,))
    for value, histogram in found.items():
        _add(family, (value,), histogram, bounds)
    return family


def _add(
    family: HistogramMetricFamily,
    labels: Sequence[str],
    histogram: Histogram,
    bounds: Sequence[float],
    exemplar: Exemplar | None = None,
) -> None:
    counts = accumulate(histogram.buckets)
    buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
    for bound, count in zip((*bounds, float("inf")), counts, strict=True):
        text = "+Inf" if bound == float("inf") else repr(bound)
        if exemplar is not None and exemplar.value <= bound:
            buckets.append((text, count, exemplar))
            exemplar = None
        else:
            buckets.append((text, count))
    family.add_metric(labels, buckets=buckets, sum_value=histogram.total)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
