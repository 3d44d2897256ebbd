"""Promised times on a Cluster of three masters."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks.protocol.shards import ALL_TAGS, new_id
from tests.support.fleet import Fleet
from tests.support.measurements import percentile
from tests.support.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from streamtasks.results import Result

pytestmark = pytest.mark.topology


@pytest.fixture
def fleet(cluster_url: str, tmp_path: Path) -> Iterator[Fleet]:
    url = cluster_url.replace("redis://", "redis+cluster://").removesuffix("/0")
    made = Fleet(url, tmp_path, {"timeout_s": DEADLINE_S, "enqueue_timeout_s": DEADLINE_S})
    yield made
    made.close()


def enqueue(fleet: Fleet, tag: str, name: str, *args: Any, **options: Any) -> Result[Any]:
    result: Result[Any] = fleet.app.tasks[name].apply_async(args, task_id=new_id((tag,)), **options)
    return result


def test_an_idle_child_starts_at_once(
    fleet: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    fleet.start("--concurrency", "2")
    enqueue(fleet, ALL_TAGS[0], "add", 1, 1).get(timeout=DEADLINE_S)
    waits = []
    for n in range(100):
        asked = time.time()
        started = fleet.record.wait_started(enqueue(fleet, ALL_TAGS[n % len(ALL_TAGS)], "add", n, 1)).started_wall
        waits.append(started - asked)
    figure(f"idle to start: p50 {percentile(waits, 0.5) * 1e3:.1f} ms, p99 {percentile(waits, 0.99) * 1e3:.1f} ms")
    assert percentile(waits, 0.99) < bound(0.02)


def test_a_delayed_message_starts_at_its_time(
    fleet: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    fleet.start("--concurrency", "2")
    enqueue(fleet, ALL_TAGS[0], "add", 1, 1).get(timeout=DEADLINE_S)
    due: list[tuple[Result[Any], float]] = []
    for n in range(100):
        due.append((enqueue(fleet, ALL_TAGS[n % len(ALL_TAGS)], "add", n, 1, countdown=1.0), time.time() + 1.0))
        time.sleep(0.02)
    late = [fleet.record.wait_started(result).started_wall - at for result, at in due]
    figure(f"delayed start: p50 {percentile(late, 0.5) * 1e3:.1f} ms, p99 {percentile(late, 0.99) * 1e3:.1f} ms late")
    assert percentile(late, 0.99) < bound(0.03)
    assert min(late) > -0.02


def test_a_better_priority_on_another_master_comes_first(
    fleet: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    low = [enqueue(fleet, ALL_TAGS[0], "nap", 0.004, priority=-5) for _ in range(2500)]
    fleet.start("--concurrency", "1")
    fleet.record.wait_started(low[10])
    waits = []
    for tag in ALL_TAGS[3:16:3]:
        asked = time.time()
        best = enqueue(fleet, tag, "add", 1, 1, priority=5)
        waits.append(fleet.record.wait_started(best).started_wall - asked)
        time.sleep(0.05)
    assert not low[-1].ready()
    figure(f"a better priority on another shard starts after {', '.join(f'{wait * 1e3:.0f}' for wait in waits)} ms")
    assert max(waits) < bound(0.08)
