"""How many series a worker shows: so many for each task and each queue, and no more with unknown names."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.registry import Collector

from streamtasks.exceptions import AccessDenied, NotDurable, StoreError, StoreFull, StoreUnavailable
from streamtasks.operations.store_metrics import StoreCollector, exposition
from streamtasks.stores.inspection_types import WorkerInfo
from streamtasks.stores.measure_types import MOST_LIMITS, LimitMeasure, Measures, QueueMeasure, ServerMeasure
from streamtasks.stores.steering_types import Pause
from streamtasks_workers.monitor.timed_store import TIMED
from streamtasks_workers.monitor.totals import MOST_NAMES
from streamtasks_workers.monitor.worker_metrics import DEAD, FENCED, WorkerCollector
from streamtasks_workers.process.counted import OUTCOMES, RETRY_REASONS
from streamtasks_workers.process.counters import Counters
from streamtasks_workers.process.worker_counters import WorkerCounters, kind_of_error

NOW_MS = 1_700_000_000_000
PAGE = Path(__file__).parents[2] / "docs" / "monitoring.md"


class FullStore:
    """A store with so many queues, in which there is something of everything."""

    def __init__(self, queues: int) -> None:
        self._queues = [f"q{number}" for number in range(queues)]

    def measures(self) -> Measures:
        server = ServerMeasure("a", "9.1", 1, 2, 3)
        queues = [QueueMeasure(name, 1, 1, 1, 1, 1, 1) for name in self._queues]
        limits = [LimitMeasure(f"limit{number}", 1) for number in range(2 * MOST_LIMITS)]
        outcomes = ("asked", "failed", "finished", "undone")
        operations = {(f"operation{number}", outcome): 1 for number in range(24) for outcome in outcomes}
        return Measures(queues, 1, 1, 1, 1, 1, 1, [server], 1, limits, operations)

    def workers(self) -> list[WorkerInfo]:
        return [WorkerInfo("w", 1, {})]

    def pauses(self) -> list[Pause]:
        tasks = [Pause("", 1, "me", "why", task=f"task{number}") for number in range(len(self._queues))]
        return [*(Pause(name, 1, "me", "why") for name in self._queues), *tasks]


def of_store(queues: int, *, with_limits: bool = False) -> StoreCollector:
    return StoreCollector([FullStore(queues)], with_limits=with_limits)  # type: ignore[list-item]


def filled(tasks: int, queues: int) -> WorkerCounters:
    """Return counters of a worker to which everything has happened."""
    counters = Counters()
    counters.adopt()
    for number in range(tasks):
        for state in (*OUTCOMES, *["RETRY"] * len(RETRY_REASONS)) if number < MOST_NAMES + 50 else ("SUCCESS",):
            counters.started(0, f"0:q{number % queues}", f"task{number}", NOW_MS, f"{NOW_MS}-0")
            counters.finished(0, state, 10**6)
        for reason in RETRY_REASONS:
            counters.retried(0, reason)
    kinds = [kind_of_error(error("")) for error in (StoreUnavailable, StoreFull, AccessDenied, NotDurable, StoreError)]
    for family, labels in (("fenced", FENCED), ("dead", DEAD), ("store_error", kinds)):
        for label in labels:
            counters.count(family, label)
    for call in TIMED:
        counters.called(call, 10**6)
    counters.flush()
    return WorkerCounters((counters,))


def series(collector: Collector) -> int:
    text = exposition(collector, "")[1].decode()
    return sum(not line.startswith("#") for line in text.splitlines())


def test_there_are_few() -> None:
    for tasks, queues in ((1, 1), (40, 8), (400, 50)):
        found = series(WorkerCollector([], filled(tasks, queues))) + series(of_store(queues))
        assert found <= 20 * tasks + 60 * queues + 60, (tasks, queues)
        assert series(of_store(queues, with_limits=True)) == series(of_store(queues)) + MOST_LIMITS


def test_unknown_names_add_none() -> None:
    some, many = (series(WorkerCollector([], filled(tasks, 3))) for tasks in (700, 10_000))
    assert many <= some
    some, many = (series(of_store(queues)) for queues in (700, 10_000))
    assert many == some


def test_the_page_lists_every_metric_with_its_labels() -> None:
    rows = re.findall(r"^\| ((?:`streamtasks_\w+`(?:, )?)+) \|([\w, ]*)\|", PAGE.read_text("utf-8"), re.MULTILINE)
    documented = {
        name: set(labels.replace(",", " ").split())
        for names, labels in rows
        for name in re.findall(r"streamtasks_\w+", names)
    }
    found: dict[str, set[str]] = {}
    for collector in (WorkerCollector([], filled(3, 2)), of_store(2, with_limits=True)):
        for family in collector.collect():
            name = family.name + "_total" * (family.type == "counter")
            found[name] = {label for sample in family.samples for label in sample.labels} - {"le"}
            assert family.documentation
    assert found.pop("streamtasks_tasks_running") == set(), "nothing runs here"
    assert documented.pop("streamtasks_tasks_running") == {"queue"}
    assert found == documented


def test_a_scrape_of_the_worker_changes_nothing() -> None:
    counters = filled(3, 2)
    collector = WorkerCollector([], counters)
    first, second = (exposition(collector, "")[1].splitlines() for _ in range(2))
    stamped = b"streamtasks_last_claim_timestamp_seconds "
    assert [one for one in first if not one.startswith(stamped)] == [
        one for one in second if not one.startswith(stamped)
    ]
