"""A Cluster whose masters have replicas: one takes over, planned or after a kill, under load."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import State, chord
from streamtasks.protocol.shards import ALL_TAGS
from tests.support.fleet import Fleet
from tests.support.servers import Cluster, client_of
from tests.support.waiting import DEADLINE_S, wait_until
from tests.topology.test_cluster import Load, wait_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.topology


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(replicas=True) as started:
        yield started


@pytest.fixture
def fleet(cluster: Cluster, tmp_path: Path) -> Iterator[Fleet]:
    url = cluster.url.replace("redis://", "redis+cluster://").removesuffix("/0")
    made = Fleet(url, tmp_path, {"timeout_s": DEADLINE_S, "lease_s": 5.0})
    yield made
    made.close()


def is_master(url: str) -> bool:
    with client_of(url) as client:
        role: Any = client.info("replication")
        return bool(role["role"] == "master")


def test_a_planned_failover_loses_nothing(cluster: Cluster, fleet: Fleet) -> None:
    fleet.start("--concurrency", "2")
    with Load(fleet.app) as load:
        time.sleep(0.3)
        with client_of(cluster.replicas[0].url) as client:
            client.execute_command("CLUSTER FAILOVER")
        wait_until(lambda: is_master(cluster.replicas[0].url), "the replica has taken over")
        time.sleep(0.5)
    wait_all(load.results)
    assert not load.errors
    assert {result.state for result in load.results} == {State.SUCCESS}


def test_what_was_replicated_survives_the_kill_of_a_master(cluster: Cluster, fleet: Fleet) -> None:
    before = fleet.many("nap", [(0.01,)] * 640)
    cluster.wait_replicated()
    fleet.start("--concurrency", "2")
    fleet.record.wait_started(before[20])
    cluster.nodes[1].kill()
    after = fleet.many("nap", [(0.001,)] * 160)
    wait_until(lambda: is_master(cluster.replicas[1].url), "the replica has taken over")
    wait_all(before + after)
    assert {result.state for result in before + after} == {State.SUCCESS}


@pytest.mark.parametrize("fault", ["failover", "kill", "reshard"])
def test_workflows_and_rate_limits_are_right_throughout(cluster: Cluster, fleet: Fleet, fault: str) -> None:
    tasks = fleet.app.tasks
    chords = [chord([tasks["nap"].s(0.01) for _ in range(8)], tasks["give_back"].s()).apply_async() for _ in range(32)]
    limited = fleet.many("add", [(n, 1) for n in range(60)], rate_limit="20/s")
    plain = fleet.many("nap", [(0.01,)] * 160)
    cluster.wait_replicated()
    fleet.start("--concurrency", "2")
    fleet.record.wait_started(limited[5])
    if fault == "kill":
        cluster.nodes[1].kill()
        wait_until(lambda: is_master(cluster.replicas[1].url), "the replica has taken over")
    elif fault == "failover":
        with client_of(cluster.replicas[1].url) as client:
            client.execute_command("CLUSTER FAILOVER")
        wait_until(lambda: is_master(cluster.replicas[1].url), "the replica has taken over")
    else:
        for tag in cluster.tags_at(cluster.nodes[1], ALL_TAGS)[:2]:
            cluster.move_slot(tag, to=2)
    wait_all([*limited, *plain, *chords])
    assert [result.get() for result in chords] == [[0.01] * 8] * 32
    assert [result.get() for result in limited] == [n + 1 for n in range(60)]
    assert {result.state for result in plain} == {State.SUCCESS}
    starts = sorted(fleet.record.of(result)[0].started for result in limited)
    assert starts[-1] - starts[0] >= 0.9 * 59 / 20
