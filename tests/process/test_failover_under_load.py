"""Four producers, four children, thousands of short tasks: the master is killed, replaced, or moves away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.failover_load import Load
from tests.support.fleet import Fleet
from tests.support.sentinel_trio import DOWN_AFTER_MS, SentinelTrio
from tests.support.switch_proxy import SwitchProxy
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.topology, pytest.mark.outage]

OpenFleet = Callable[[str], Fleet]
Figure = Callable[[str], None]
Bounds = Callable[[float], float]

TASKS = 3000
BEFORE = TASKS // 4
"""So many are acknowledged when it happens."""
OUTAGE_S = DOWN_AFTER_MS / 1000 + 5
MOVED_S = 5.0
TAIL_S = 1.0
"""What a killed master had acknowledged earlier than this was replicated."""


@pytest.mark.parametrize("how", ["kill", "failover"])
@pytest.mark.parametrize("level", ["replicated", "memory"])
def test_sentinels_promote_a_replica(
    open_fleet: OpenFleet, how: str, level: str, figure: Figure, bound: Bounds
) -> None:
    with SentinelTrio("valkey") as trio, Load(open_fleet(trio.url), level) as load:
        load.wait_for(BEFORE)
        old, happened = trio.master(), time.monotonic()
        if how == "kill":
            old.kill()
            trio.wait_other_master(old)
        else:
            trio.fail_over()
        switched = time.monotonic()
        load.wait_for(TASKS)
        found = load.end()
        figure(f"{how}, {level}: {found}")
        assert found.pause_s < bound(OUTAGE_S)
        if level == "replicated":
            assert found.lost == []
        elif how == "kill":
            assert all(happened - bound(TAIL_S) < one.at for one in found.lost), "more than the tail is lost"
        else:
            assert all(happened - bound(TAIL_S) < one.at < switched + bound(3.0) for one in found.lost)


@pytest.fixture
def pair(own_server: Callable[..., EmbeddedServer]) -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    """A master and its replica."""
    old, new = own_server(), own_server()
    with redis.Redis.from_url(new.url, decode_responses=True) as client:
        client.replicaof("127.0.0.1", old.port)

        def follows() -> bool:
            info: Any = client.info("replication")
            return bool(info["master_link_status"] == "up")

        wait_until(follows, "the replica follows")
        yield old, new


def test_the_address_leads_to_the_replica(
    pair: tuple[EmbeddedServer, EmbeddedServer], open_fleet: OpenFleet, figure: Figure, bound: Bounds
) -> None:
    """REPLICAOF on both and a changed address, as with a floating one or a changed name: no connection is closed."""
    old, new = pair
    with SwitchProxy(old.port) as proxy, Load(fleet := open_fleet(proxy.url), "memory") as load:
        load.wait_for(BEFORE)
        with redis.Redis.from_url(old.url) as was, redis.Redis.from_url(new.url) as becomes:
            becomes.replicaof("NO", "ONE")
            proxy.switch(new.port)
            was.replicaof("127.0.0.1", new.port)
        fleet.client.close()
        fleet.client = redis.Redis.from_url(new.url, decode_responses=True)
        moved = time.monotonic()
        load.wait_for(TASKS)
        new_ids = {one.id for one in load.acknowledged if one.at > moved}
        first = wait_until(
            lambda: [one for one in fleet.record.executions() if one.id in new_ids], "workers run new tasks"
        )[0]
        found = load.end()
        figure(f"a changed address; new tasks run after {first.started - moved:.2f} s: {found}")
        assert found.pause_s < bound(MOVED_S)
        assert first.started - moved < bound(MOVED_S)
        assert all(moved - bound(TAIL_S) < one.at < moved + bound(TAIL_S) for one in found.lost)
