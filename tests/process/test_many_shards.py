"""Every child serves every shard: several shards on one server, with fewer children than shards."""

from __future__ import annotations

import signal
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import State
from streamtasks.protocol.shards import ALL_TAGS, new_id
from tests.process.test_executors import EXECUTORS
from tests.support.measurements import percentile
from tests.support.waiting import DEADLINE_S, wait_until
from tests.support.worker_process import kill

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamtasks.results import Result
    from tests.support.fleet import Fleet

TAGS = ALL_TAGS[:6]


@pytest.fixture
def shards(fleet: Fleet) -> Fleet:
    fleet.configure(tags=TAGS)
    return fleet


def enqueue(fleet: Fleet, tag: str, name: str, *args: Any, **options: Any) -> Result[Any]:
    """Enqueue one call on a shard."""
    result: Result[Any] = fleet.app.tasks[name].apply_async(args, task_id=new_id((tag,)), **options)
    return result


def wait_all(results: list[Result[Any]]) -> None:
    wait_until(lambda: all(result.ready() for result in results), "all are finished", 2 * DEADLINE_S)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_one_child_runs_what_is_on_every_shard(shards: Fleet, executor: str) -> None:
    before = [enqueue(shards, tag, "add", n, 1) for n in range(20) for tag in TAGS]
    shards.start("--concurrency", "1", *EXECUTORS[executor])
    wait_all(before)
    after = [enqueue(shards, tag, "add", n, 1) for n in range(3) for tag in TAGS]
    wait_all(after)
    assert {result.state for result in before + after} == {State.SUCCESS}
    assert len(shards.record.executions()) == len(before) + len(after)


def test_an_idle_child_is_woken_for_any_shard(
    shards: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    shards.start("--concurrency", "2")
    waits = []
    for n in range(60):
        asked = time.time()
        execution = shards.record.wait_started(enqueue(shards, TAGS[n % len(TAGS)], "add", n, 1))
        waits.append(execution.started_wall - asked)
    figure(f"idle to start p50 {percentile(waits, 0.5) * 1e3:.1f} ms, p99 {percentile(waits, 0.99) * 1e3:.1f} ms")
    assert percentile(waits, 0.99) < bound(0.02)


def test_a_better_priority_on_another_shard_comes_first(
    shards: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    """Known within 50 ms, while a child has enough to do on its own shard; then it goes back."""
    low = [enqueue(shards, TAGS[0], "nap", 0.004, priority=-5) for _ in range(2500)]
    shards.start("--concurrency", "1")
    shards.record.wait_started(low[10])
    waits = []
    for n in range(5):
        asked = time.time()
        best = enqueue(shards, TAGS[1 + n], "add", 1, 1, priority=5)
        waits.append(shards.record.wait_started(best).started_wall - asked)
        time.sleep(0.05)
    assert not low[-1].ready()
    figure(f"a better priority on another shard starts after {', '.join(f'{wait * 1e3:.0f}' for wait in waits)} ms")
    assert max(waits) < bound(0.08)


def test_no_shard_waits_for_the_end_of_another_ones_backlog(shards: Fleet) -> None:
    results = {tag: [enqueue(shards, tag, "nap", 0.005) for _ in range(60)] for tag in TAGS}
    shards.start("--concurrency", "1")
    wait_all([result for some in results.values() for result in some])
    order = {execution.id: place for place, execution in enumerate(shards.record.executions())}
    firsts = [order[some[0].id] for some in results.values()]
    assert max(firsts) < len(order) / 2


@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_what_a_killed_child_held_on_several_shards_runs_again(shards: Fleet, executor: str) -> None:
    shards.configure(crash_delay_s=0.1)
    results = [enqueue(shards, tag, "nap", 0.02) for _ in range(30) for tag in TAGS]
    worker = shards.start("--concurrency", "2", *EXECUTORS[executor])
    killed: list[int] = []
    for n in range(3):
        shards.record.wait_started(results[40 * n])
        [child, *_] = wait_until(lambda: [one for one in worker.pids().children if one not in killed], "a child lives")
        killed.append(child)
        kill(child, signal.SIGKILL)
    wait_all(results)
    assert {result.state for result in results} == {State.SUCCESS}
    again = len(shards.record.executions()) - len(results)
    assert again <= 3 * (8 if executor == "threads" else 1), "only what ran when they were killed"


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_one_suspect_at_a_time_in_a_worker(shards: Fleet, executor: str) -> None:
    """Of any shard: two beside each other would be lost together, the innocent one as often as the other."""
    shards.configure(lease_s=1.0)
    # Not fenced: a busy machine may keep a keeper from renewing for a second, and what it ended would run a third time.
    options = ("--concurrency", "4", "--fence-after", "60", *EXECUTORS[executor])
    gate = shards.gate()  # all are to run when the worker ends, however long its start takes
    results = [enqueue(shards, tag, "nap_until", gate.path, 0.4) for tag in TAGS[:4]]
    worker = shards.start(*options)
    for result in results:
        shards.record.wait_started(result)
    worker.end()
    gate.open()
    shards.start(*options)
    wait_all(results)
    runs = sorted((shards.record.of(result)[-1] for result in results), key=lambda run: run.started)
    assert all(len(shards.record.of(result)) == 2 for result in results)
    for one, other in pairwise(runs):
        assert one.ended <= other.started, "one after the other"


def test_delayed_retried_and_limited_messages_come_on_their_shards(shards: Fleet) -> None:
    delayed = [enqueue(shards, tag, "add", 1, 1, countdown=0.3) for tag in TAGS]
    retried = [enqueue(shards, tag, "again", 2, 0.05) for tag in TAGS]
    shards.start("--concurrency", "1")
    wait_all(delayed + retried)
    assert [result.get() for result in retried] == [3] * len(TAGS)
