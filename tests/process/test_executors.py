"""What users see of each executor: results, errors, retries, progress and RUNNING."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest

from streamtasks import State, wait_for
from streamtasks.exceptions import TaskFailed
from tests.support.bounds import Bound
from tests.support.fleet import Fleet
from tests.support.measurements import MS, percentile, visibility
from tests.support.waiting import wait_until

EXECUTORS = {
    "inline": (),
    "threads": ("--threads", "4"),
    "async": ("--async-concurrency", "8"),
    "mixed": ("--threads", "3", "--async-concurrency", "8"),
}
LAX_S = 0.1
"""The promise is 50 ms; the task itself lasts 500 ms."""

each_executor = pytest.mark.parametrize("executor", EXECUTORS)


@each_executor
def test_every_outcome_is_recorded_once(fleet: Fleet, executor: str) -> None:
    fleet.start("--concurrency", "2", *EXECUTORS[executor])
    sums = fleet.many("add", [(n, 1) for n in range(250)])
    sums += fleet.many("aadd", [(n, 1) for n in range(250, 500)])
    failed = [fleet.enqueue("fail", "no"), fleet.enqueue("afail", "no")]
    retried = fleet.enqueue("again", 2, 0.02)
    given_up = fleet.enqueue("again", 9, 0.01)
    ignored = fleet.enqueue("ignore")
    large = [fleet.enqueue("large", size) for size in (3_400, 3_700, 20_000, 1_040_000, 16_000_000)]
    too_large = fleet.enqueue("large", 17_000_000)
    everything = [*sums, *failed, retried, given_up, ignored, *large, too_large]
    assert wait_for(everything, timeout=60), [r.snapshot() for r in everything if not r.ready()]

    assert [result.get(0) for result in sums] == list(range(1, 501))
    assert [len(result.get(0)) for result in large] == [3_400, 3_700, 20_000, 1_040_000, 16_000_000]
    for result in failed:
        with pytest.raises(ValueError, match=r"^no"):
            result.get(0)
    assert (retried.get(0), retried.attempts) == (3, 3)
    assert [report["kind"] for report in retried.snapshot().reports] == ["RETRY", "RETRY"]
    assert (given_up.state, given_up.attempts) == (State.FAILURE, 4)
    assert (ignored.state, ignored.get(0)) == (State.IGNORED, None)
    with pytest.raises(Exception, match="max_payload_bytes"):
        too_large.get(0)
    times = Counter(execution.id for execution in fleet.record.executions())
    assert times.pop(retried.id) == 3
    assert times.pop(given_up.id) == 4
    assert set(times.values()) == {1}
    assert fleet.unfinished() == 0


def test_a_call_may_have_a_retry_limit_of_its_own(fleet: Fleet) -> None:
    fleet.start("--concurrency", "1")
    result = fleet.enqueue("again", 9, 0.01, max_retries=1)
    assert wait_for([result], timeout=60)
    assert (result.state, result.attempts) == (State.FAILURE, 2)


@each_executor
def test_what_ends_an_interpreter_ends_only_the_attempt(fleet: Fleet, executor: str) -> None:
    worker = fleet.start("--concurrency", "1", *EXECUTORS[executor])
    before = worker.pids().children
    left = fleet.enqueue("leave")
    odd = [fleet.enqueue("raise_odd"), fleet.enqueue("araise_odd")]
    assert wait_for([left, *odd], timeout=60)
    assert {result.state for result in (left, *odd)} == {State.FAILURE}
    with pytest.raises(TaskFailed, match="SystemExit"):
        left.get(0)
    with pytest.raises(TaskFailed, match="an odd one"):
        odd[0].get(0)
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3
    assert worker.pids().children == before


HOSTILE = ["retry delay", "retry with a hostile text", "text raises GeneratorExit", "text raises SystemExit"]


@each_executor
def test_no_exception_ends_a_child_or_leaves_an_attempt_running(fleet: Fleet, executor: str) -> None:
    worker = fleet.start("--concurrency", "1", *EXECUTORS[executor])
    before = worker.pids().children
    beside = [*fleet.many("nap", [(0.02,)] * 5), *fleet.many("anap", [(0.02,)] * 5)]
    hostile = [fleet.enqueue(task, kind) for kind in HOSTILE for task in ("raise_hostile", "araise_hostile")]
    after = fleet.many("add", [(n, 1) for n in range(20)])
    assert wait_for([*beside, *hostile, *after], timeout=60)
    assert {result.state for result in hostile} == {State.FAILURE}
    assert {result.state for result in (*beside, *after)} == {State.SUCCESS}
    assert worker.pids().children == before, "no child was replaced"
    assert fleet.unfinished() == 0


@each_executor
def test_progress_is_visible_while_the_task_runs(
    fleet: Fleet, executor: str, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    fleet.start("--concurrency", "1", *EXECUTORS[executor])
    result = fleet.enqueue("steps", 50, 0.02)
    fleet.record.wait_started(result)
    lags = []
    while (snapshot := result.snapshot()).is_finished is False:
        steps, now = fleet.record.steps(result), time.monotonic()
        if snapshot.state == State.PROGRESS:
            progress = result.progress
            if progress:
                # How long ago was the first step made that is not visible yet?
                hidden = steps[progress["step"] + 1 :]
                lags.append(now - hidden[0] if hidden else 0.0)
        time.sleep(0.005)
    assert result.get(0) == 50
    assert lags, "no progress was seen"
    figure(f"progress visible after p50 {percentile(lags, 0.5) * 1e3:.0f} ms, max {max(lags) * 1e3:.0f} ms")
    assert percentile(lags, 0.5) <= bound(0.1)
    assert max(lags) <= bound(0.4)


@pytest.mark.timing
@each_executor
@pytest.mark.parametrize("name", ["nap", "hold_gil"])
def test_a_long_task_is_visible_and_nothing_waits_behind_it(
    fleet: Fleet, executor: str, name: str, figure: Callable[[str], None], bound: Bound
) -> None:
    fleet.start("--concurrency", "2", *EXECUTORS[executor])
    fleet.wait_idle(2)
    measured = [visibility(fleet, name, 0.5) for _ in range(3)]
    shown, others = [one.shown for one in measured], [one.others for one in measured]
    figure(
        f"RUNNING after p50 {percentile(shown, 0.5):.1f} ms, max {max(shown):.1f} ms; "
        f"last neighbour started p50 {percentile(others, 0.5):.1f} ms, max {max(others):.1f} ms after it"
    )
    assert percentile(shown, 0.5) <= bound.typical(LAX_S) * MS
    assert percentile(others, 0.5) <= bound.typical(LAX_S) * MS
    assert max(shown) < bound(0.4) * MS
    assert max(others) < bound(0.4) * MS


def test_a_burst_wakes_all_children(fleet: Fleet) -> None:
    worker = fleet.start("--concurrency", "4")
    fleet.wait_idle(4)
    gate = fleet.gate()
    results = fleet.many("nap_until", [(gate.path,)] * 4)
    started = [fleet.record.wait_started(result) for result in results]
    assert {e.pid for e in started} == set(worker.pids().children)
    gate.open()
    assert wait_for(results, timeout=60)
    wait_until(lambda: not fleet.client.zcard(fleet.keys.ready), "nothing is ready any more")


@pytest.mark.parametrize("executor", ["threads", "async"])
def test_a_single_arrival_holds_nobody_up(fleet: Fleet, executor: str) -> None:
    fleet.start("--concurrency", "1", *EXECUTORS[executor])
    name = "anap" if executor == "async" else "nap"
    long = fleet.enqueue(name, 120)
    fleet.record.wait_started(long)
    short = fleet.enqueue(name, 0.01)
    assert wait_for([short], timeout=60)
    assert not long.ready()


def test_a_held_interpreter_takes_no_ring_from_others(
    fleet: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    fleet.client.script_flush()  # on a new server it could not be passed on: whose interpreter is held loads no script
    fleet.start("--concurrency", "2", "--threads", "4")
    fleet.wait_idle(2)
    begin, end = fleet.gate(), fleet.gate()
    long = fleet.enqueue("hold_gil_until", end.path, begin.path)
    held = fleet.record.wait_started(long).pid
    fleet.wait_idle(2)  # its child listens for more, beside the task
    begin.open()
    end.wait_held(held)
    waited = []
    for _ in range(4):
        called = time.monotonic()
        execution = fleet.record.wait_started(fleet.enqueue("add", 1, 1))
        waited.append(execution.started - called)
        assert execution.pid != held
        time.sleep(0.05)  # until the other child waits again, behind the one that cannot come
    assert not long.ready()
    figure(f"beside it tasks start after at most {max(waited) * 1e3:.1f} ms")
    assert max(waited) < bound(1.0)
