"""What is counted for metrics, in shared memory and added up."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from streamtasks_workers.executor.attempt_counts import AttemptCounts
from streamtasks_workers.monitor.totals import Names, Totals
from streamtasks_workers.process.counted import OTHER
from streamtasks_workers.process.counters import Counters
from streamtasks_workers.process.worker_counters import WorkerCounters

NOW_MS = 1_700_000_000_000


def run(counters: Counters, task: str = "add", queue: str = "q", state: str = "SUCCESS", ms: int = 1) -> None:
    counters.started(3, f"0:{queue}", task, NOW_MS, f"{NOW_MS - 20}-0")
    counters.finished(3, state, ms * 1_000_000)


def test_an_attempt() -> None:
    counters = Counters()
    counters.adopt()
    run(counters, ms=2)
    run(counters, state="FAILURE", ms=200)
    run(counters, state="RETRY")
    counters.retried(3, "raised")
    counters.slow(3, "an-id", 200_000_000, NOW_MS)
    counters.flush()
    totals = Totals([counters], Names())
    assert totals.finished == {("q", "add", "success"): 1, ("q", "add", "failure"): 1}
    assert totals.retries == {("q", "add", "raised"): 1}
    assert totals.durations["add"].buckets == (2, 0, 1, 0, 0, 0, 0, 0)
    assert abs(totals.durations["add"].total - 0.203) < 1e-9
    assert totals.waits["q"].buckets == (0, 3, *[0] * 10)
    assert totals.exemplars["add"] == ("an-id", 0.2, NOW_MS / 1000)


def test_a_successor_counts_on() -> None:
    """The child of a board may be replaced: nothing is lost, and nothing falls."""
    counters = Counters()
    for _ in range(2):
        counters.adopt()
        run(counters)
        counters.count("fenced", "settle", 2)
        counters.flush()
    totals = Totals([counters], Names())
    assert totals.finished["q", "add", "success"] == 2
    assert totals.numbers["fenced", "settle"] == 4


def test_another_process_counts() -> None:
    counters = Counters()
    if not (pid := os.fork()):
        counters.adopt()
        run(counters)
        counters.flush()
        os._exit(0)
    os.waitpid(pid, 0)
    assert Totals([counters], Names()).finished["q", "add", "success"] == 1


def test_many_names_fold() -> None:
    counters, names = Counters(), Names()
    counters.adopt()
    for number in range(10_000):
        run(counters, f"task{number}")
    counters.flush()
    totals = Totals([counters], names)
    assert len(totals.durations) <= 501
    assert sum(totals.finished.values()) == 10_000
    assert totals.finished[OTHER, OTHER, "success"] > 9_000
    before = dict(totals.finished)
    run(counters, "task9999")
    counters.flush()
    after = Totals([counters], names).finished
    assert {key for key in before if after[key] != before[key]} == {(OTHER, OTHER, "success")}


def test_what_the_keeper_ends_counts_for_its_task() -> None:
    all_counters = WorkerCounters((Counters(),))
    child = all_counters.boards[0]
    child.adopt()
    child.started(3, "0:q", "add", NOW_MS, "")
    all_counters.enforced(0, 3, "FAILURE", 10**9)
    totals = Totals([child, all_counters.keeper], Names())
    assert totals.finished["q", "add", "failure"] == 1
    assert totals.waits["q"].buckets == (0,) * 12


def test_a_batch_counts_as_its_attempts_do_one_by_one() -> None:
    add, other = object(), object()

    def ended(number: int, runnable: object = add, state: str = "SUCCESS", ran_ms: float = 1.0, **more: Any) -> Any:
        task = "add" if runnable is add else "other"
        entry = f"{NOW_MS - more.get('waited_ms', 20)}-{number}"
        claimed = SimpleNamespace(stream=more.get("stream", "0:q"), entry=entry, attempt=1)
        attempt = SimpleNamespace(message=SimpleNamespace(task=task, due_ms=more.get("due_ms", 0)), started_ms=NOW_MS)
        guard = SimpleNamespace(kind=0)
        prepared = SimpleNamespace(runnable=runnable, claimed=claimed, attempt=attempt, guard=guard)
        return number, prepared, SimpleNamespace(state=state, note="", id=f"id{number}"), round(ran_ms * 1e6)

    batch = [
        *(ended(n) for n in range(5)),
        ended(5, state="FAILURE"),
        *(ended(n, waited_ms=40_000 if n < 8 else 2) for n in range(6, 10)),
        ended(10, ran_ms=400.0),
        ended(11, other),
        ended(12, other, stream="1:q"),
        ended(13, state="RETRY"),
        ended(14, due_ms=NOW_MS - 700),
        ended(15),
    ]
    together, one_by_one = Counters(), Counters()
    for counters in (together, one_by_one):
        counters.adopt()
    all_of_them = AttemptCounts(together)
    last = None
    for one in batch:
        if last is None or (one[1].runnable, one[1].claimed.stream) != last:
            last = one[1].runnable, one[1].claimed.stream
            all_of_them.runs(one[1])
        all_of_them.ended(*one)
        alone = AttemptCounts(one_by_one)
        alone.ended(*one)
        alone.flush()
    all_of_them.flush()
    found, wanted = (Totals([counters], Names()) for counters in (together, one_by_one))
    assert found.finished == wanted.finished
    assert found.finished["q", "add", "success"] == 12
    assert (found.retries, found.late) == (wanted.retries, wanted.late)
    assert found.durations == wanted.durations
    assert found.waits == wanted.waits
    assert list(together.take()) == list(one_by_one.take())


def test_what_was_counted_since_the_last_time_is_taken_once() -> None:
    """For charts: by queue and task, and whoever counts on after a child has ended."""
    counters = Counters()
    counters.adopt()
    run(counters, ms=2)
    run(counters, state="FAILURE", ms=700)
    run(counters, state="RETRY")
    counters.retried(3, "raised")
    run(counters, "other task", "q2")
    counters.flush()
    taken = {(queue, task): counts for queue, task, counts in counters.take()}
    assert taken.keys() == {("q", "add"), ("q2", "other task")}
    counts = taken["q", "add"]
    assert counts[:6] == [1, 1, 0, 1, 703, 60]
    assert (sum(counts[6:24]), sum(counts[24:])) == (3, 3)
    assert list(counters.take()) == []
    if not (pid := os.fork()):
        counters.adopt()
        run(counters)
        counters.flush()
        os._exit(0)
    os.waitpid(pid, 0)
    assert [(queue, task, counts[0]) for queue, task, counts in counters.take()] == [("q", "add", 1)]
