"""How many series a worker shows: so many for each task and each queue, and no more with unknown names."""

from __future__ import annotations

from streamtasks.operations.store_metrics import exposition
from streamtasks_workers.monitor.timed_store import TIMED
from streamtasks_workers.monitor.worker_metrics import DEAD, FENCED, WorkerCollector
from streamtasks_workers.process.counted import OUTCOMES, RETRY_REASONS
from streamtasks_workers.process.counters import Counters
from streamtasks_workers.process.worker_counters import WorkerCounters

NOW_MS = 1_700_000_000_000
OF_STORE, OF_STORE_QUEUE = 12, 4
"""What `/metrics/store` has, and what it has of each queue."""


def filled(tasks: int, queues: int) -> WorkerCounters:
    """Return counters of a worker to which everything has happened."""
    counters = Counters()
    counters.adopt()
    for number in range(tasks):
        for state in (*OUTCOMES, *["RETRY"] * len(RETRY_REASONS)):
            counters.started(0, f"0:q{number % queues}", f"task{number}", NOW_MS, f"{NOW_MS}-0")
            counters.finished(0, state, 10**6)
        for reason in RETRY_REASONS:
            counters.retried(0, reason)
    for family, labels in (("fenced", FENCED), ("dead", DEAD), ("store_error", ("unavailable", "full", "denied"))):
        for label in labels:
            counters.count(family, label)
    for call in TIMED:
        counters.called(call, 10**6)
    counters.flush()
    return WorkerCounters((counters,))


def series(counters: WorkerCounters) -> int:
    text = exposition(WorkerCollector([], counters), "")[1].decode()
    return sum(not line.startswith("#") for line in text.splitlines())


def test_there_are_few() -> None:
    for tasks, queues in ((1, 1), (40, 8), (400, 50)):
        found = series(filled(tasks, queues)) + OF_STORE + OF_STORE_QUEUE * queues
        assert found <= 20 * tasks + 60 * queues + 60, (tasks, queues)


def test_unknown_names_add_none() -> None:
    some, many = (filled(tasks, 3) for tasks in (700, 2000))
    assert series(many) == series(some)


def test_a_scrape_of_the_worker_changes_nothing() -> None:
    counters = filled(3, 2)
    collector = WorkerCollector([], counters)
    first, second = (exposition(collector, "")[1].splitlines() for _ in range(2))
    stamped = b"streamtasks_last_claim_timestamp_seconds "
    assert [one for one in first if not one.startswith(stamped)] == [
        one for one in second if not one.startswith(stamped)
    ]
