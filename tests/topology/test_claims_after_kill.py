"""What was settled at a master that died before its replica had heard of it: the task runs again at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import redis

from streamtasks.protocol.shards import ALL_TAGS, new_id
from tests.support.fleet import Fleet
from tests.support.sentinel_trio import SentinelTrio
from tests.support.servers import Cluster, client_of
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from streamtasks_workers.testing.embedded import EmbeddedServer

pytestmark = pytest.mark.topology

LEASE_S = 600.0
"""Far longer than the test waits."""


@pytest.fixture
def open_fleet(tmp_path: Path) -> Iterator[Callable[[str], Fleet]]:
    made: list[Fleet] = []

    def make(url: str) -> Fleet:
        made.append(Fleet(url, tmp_path, {"timeout_s": 60.0, "enqueue_timeout_s": 60.0, "lease_s": LEASE_S}))
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()


def settle_unheard(fleet: Fleet, master: EmbeddedServer, tag: str) -> Any:
    """Run a task to its end while the master refuses its replicas, then kill the master."""
    fleet.start("--concurrency", "1")
    gate = fleet.gate()
    task = fleet.app.tasks["nap_until"].apply_async((gate.path,), task_id=new_id((tag,)))
    fleet.record.wait_started(task)
    with redis.Redis(port=master.port, decode_responses=True) as client:
        wait_until(lambda: client.wait(1, 1000) >= 1, "a replica knows of the claim")
        client.acl_setuser("default", enabled=True, nopass=True, commands=["-psync", "-sync", "-replconf"])
        client.client_kill_filter(_type="replica")
        client.client_kill_filter(_type="slave")
        gate.open()
        assert task.get(timeout=60) == "opened"
        info: Any = client.info("replication")
        assert info["connected_slaves"] == 0
    master.kill()
    return task


def test_sentinel(open_fleet: Callable[[str], Fleet], figure: Callable[[str], None]) -> None:
    with SentinelTrio("valkey") as trio:
        fleet = open_fleet(trio.url)
        old = trio.master()
        task = settle_unheard(fleet, old, "u0")
        trio.wait_other_master(old)
        switched = time.monotonic()
        fleet.record.wait_started(task, 2)
        figure(f"Sentinel: runs again {time.monotonic() - switched:.1f} s after the new master was named")
        assert task.get(timeout=60) == "opened"
        fleet.close()


def test_cluster(open_fleet: Callable[[str], Fleet], figure: Callable[[str], None]) -> None:
    with Cluster(replicas=True) as cluster:
        fleet = open_fleet(cluster.url.replace("redis://", "redis+cluster://").removesuffix("/0"))
        task = settle_unheard(fleet, cluster.nodes[0], cluster.tags_at(cluster.nodes[0], ALL_TAGS)[0])
        with client_of(cluster.replicas[0].url) as client:
            wait_until(lambda: client.info("replication")["role"] == "master", "the replica has taken over")
        switched = time.monotonic()
        fleet.record.wait_started(task, 2)
        figure(f"Cluster: runs again {time.monotonic() - switched:.1f} s after the replica took over")
        assert task.get(timeout=60) == "opened"
        fleet.close()
