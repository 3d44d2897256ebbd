"""An idle worker leaves a Cluster alone, and is there when something comes all the same."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import redis

from streamtasks.protocol.shards import ALL_TAGS, new_id
from tests.support.fleet import Fleet
from tests.support.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.servers import Cluster

pytestmark = pytest.mark.topology

OF_CLIENTS = ("evalsha", "script|load", "cluster|slots", "ping", "ssubscribe", "hello", "blpop", "wait")
"""Commands that scripts do not send; the others of a worker are sent by scripts."""

WATCHED_S = 60.0
"""Each quiet shard is beaten on once in this time; in a part of it one master may have more turns than the others."""

QUIET_AFTER_S = 12.0
"""The longest time between two beats on a shard: then it is known that nothing is there any more."""


@pytest.fixture
def fleet(cluster_url: str, tmp_path: Path) -> Iterator[Fleet]:
    url = cluster_url.replace("redis://", "redis+cluster://").removesuffix("/0")
    made = Fleet(url, tmp_path, {"timeout_s": DEADLINE_S, "enqueue_timeout_s": DEADLINE_S})
    yield made
    made.close()


def sent(cluster: Cluster) -> list[int]:
    """Return how many commands each node has had from clients."""
    counts = []
    for node in cluster.nodes:
        with redis.Redis(port=node.port) as client:
            stats: Any = client.info("commandstats")
        counts.append(sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in OF_CLIENTS))
    return counts


def test_an_idle_worker_sends_a_command_a_second_to_each_master_at_most(
    cluster: Cluster, fleet: Fleet, figure: Callable[[str], None]
) -> None:
    fleet.start("--concurrency", "2")
    results = [fleet.app.tasks["add"].apply_async((1, 1), task_id=new_id((tag,))) for tag in ALL_TAGS]
    assert [result.get(timeout=DEADLINE_S) for result in results] == [2] * len(ALL_TAGS)
    time.sleep(QUIET_AFTER_S + 1.0)
    before, began = sent(cluster), time.monotonic()
    time.sleep(WATCHED_S)
    after, took = sent(cluster), time.monotonic() - began
    rates = [(new - old - 1) / took for old, new in zip(before, after, strict=True)]
    figure(f"an idle worker sends {', '.join(f'{rate:.2f}' for rate in rates)} commands a second to three masters")
    assert max(rates) <= 1.0
    later = fleet.app.tasks["add"].apply_async((1, 1), task_id=new_id(ALL_TAGS), countdown=0.1)
    assert later.get(timeout=DEADLINE_S) == 2
