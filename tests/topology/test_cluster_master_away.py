"""A master that does not answer, with nobody to take over: what is on the others goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import State
from streamtasks.protocol.shards import ALL_TAGS, new_id
from tests.process.test_executors import EXECUTORS
from tests.support.fleet import Fleet
from tests.support.measurements import percentile
from tests.support.servers import Cluster
from tests.support.waiting import DEADLINE_S, wait_until
from tests.topology.test_cluster import wait_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from streamtasks.results import Result

pytestmark = pytest.mark.topology


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(append_only=True, arguments=("--cluster-require-full-coverage", "no")) as started:
        yield started


@pytest.fixture
def fleet(cluster: Cluster, tmp_path: Path) -> Iterator[Fleet]:
    url = cluster.url.replace("redis://", "redis+cluster://").removesuffix("/0")
    made = Fleet(url, tmp_path, {"timeout_s": DEADLINE_S, "enqueue_timeout_s": DEADLINE_S})
    yield made
    made.close()


EACH = 3


def spread(fleet: Fleet, tags: tuple[str, ...], seconds: float = 0.002) -> list[Result[Any]]:
    """Enqueue some calls on each shard."""
    return [fleet.app.tasks["nap"].apply_async((seconds,), task_id=new_id((tag,))) for _ in range(EACH) for tag in tags]


@pytest.mark.parametrize(
    ("how", "executor"), [*(("killed", executor) for executor in EXECUTORS), ("silent", "inline"), ("silent", "async")]
)
def test_the_only_child_serves_the_other_masters(cluster: Cluster, fleet: Fleet, how: str, executor: str) -> None:
    away = cluster.tags_at(cluster.nodes[1], ALL_TAGS)
    others = tuple(tag for tag in ALL_TAGS if tag not in away)
    before = spread(fleet, ALL_TAGS)
    fleet.start("--concurrency", "1", *EXECUTORS[executor])
    wait_all(before)
    there = spread(fleet, away, 0.05)
    fleet.record.wait_started(there[0])
    if how == "killed":
        cluster.nodes[1].kill()
    else:
        cluster.nodes[1].pause()
    for _ in range(3):
        wait_all(spread(fleet, others))
    if how == "killed":
        cluster.nodes[1].restart()
    else:
        cluster.nodes[1].resume()
    wait_all(there + spread(fleet, ALL_TAGS))
    assert {result.state for result in before + there} == {State.SUCCESS}
    executions = fleet.record.executions()
    again = [result for result in before if len(fleet.record.of(result)) != 1]
    assert not again, "what was settled before"
    assert len(executions) <= len(before) + len(there) + EACH * (3 * len(others) + len(ALL_TAGS)) + 16


def test_an_idle_child_is_woken_by_the_other_masters(
    cluster: Cluster, fleet: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    others = tuple(tag for tag in ALL_TAGS if tag not in cluster.tags_at(cluster.nodes[1], ALL_TAGS))
    fleet.start("--concurrency", "2")
    wait_all(spread(fleet, ALL_TAGS))
    cluster.nodes[1].kill()
    wait_all(spread(fleet, others))
    waits = []
    for _ in range(3):
        for tag in others:
            asked = time.time()
            result: Result[Any] = fleet.app.tasks["nap"].apply_async((0.001,), task_id=new_id((tag,)))
            waits.append(fleet.record.wait_started(result).started_wall - asked)
    figure(f"idle to start with one master away: p50 {percentile(waits, 0.5) * 1e3:.1f} ms")
    assert percentile(waits, 0.5) < bound(0.1)
    cluster.nodes[1].restart()


def test_a_worker_that_reaches_no_master_is_not_busy(
    cluster: Cluster, fleet: Fleet, figure: Callable[[str], None]
) -> None:
    worker = fleet.start("--concurrency", "2")
    wait_all(spread(fleet, ALL_TAGS))
    for node in cluster.nodes:
        node.kill()
    took_s, began = worker.cpu_s(), time.monotonic()
    wait_until(lambda: time.monotonic() - began > 6.0, "the masters are away for so long")
    busy = (worker.cpu_s() - took_s) / (time.monotonic() - began)
    for node in cluster.nodes:
        node.restart()
    back = time.monotonic()
    wait_all(spread(fleet, ALL_TAGS))
    figure(f"{busy:.2f} of a processor without any master; all shards served {time.monotonic() - back:.1f} s after")
    assert busy < 0.3
