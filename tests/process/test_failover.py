"""The address leads to another server, and the old one lives on as its replica: no connection stays with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import redis

from streamtasks import wait_for
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.process.test_executors import EXECUTORS
from tests.support.fleet import Fleet
from tests.support.switch_proxy import SwitchProxy
from tests.support.waiting import wait_until

OwnServer = Callable[..., EmbeddedServer]
OpenFleet = Callable[[str], Fleet]


class Pair:
    """A master and its replica behind one address."""

    def __init__(self, own_server: OwnServer) -> None:
        at_once = ("--repl-diskless-sync-delay", "0")
        self.old, self.new = own_server(extra_args=at_once), own_server(extra_args=at_once)
        self.old_client = redis.Redis.from_url(self.old.url)
        self.new_client = redis.Redis.from_url(self.new.url, decode_responses=True)
        self.new_client.replicaof("127.0.0.1", self.old.port)
        wait_until(lambda: self.new_client.info("replication")["master_link_status"] == "up", "the replica follows")

    def fail_over(self, proxy: SwitchProxy) -> None:
        """Promote the replica, let the address lead to it, and demote the master, which keeps its connections."""
        assert self.old_client.wait(1, 60_000) == 1
        self.new_client.replicaof("NO", "ONE")
        proxy.switch(self.new.port)
        self.old_client.replicaof("127.0.0.1", self.new.port)


@pytest.fixture
def pair(own_server: OwnServer) -> Iterator[Pair]:
    pair = Pair(own_server)
    yield pair
    pair.old_client.close()
    pair.new_client.close()


@pytest.mark.parametrize("executor", ["inline", "threads", "async"])
def test_producers_and_workers_leave_a_master_that_has_become_a_replica(
    pair: Pair,
    open_fleet: OpenFleet,
    executor: str,
    figure: Callable[[str], None],
    bound: Callable[[float], float],
) -> None:
    with SwitchProxy(pair.old.port) as proxy:
        fleet = open_fleet(proxy.url)
        worker = fleet.start("--concurrency", "2", *EXECUTORS[executor])
        name = "anap" if executor == "async" else "nap"
        assert wait_for(fleet.many(name, [(0.005,)] * 40), timeout=60)
        running = fleet.enqueue(name, 0.5)
        fleet.record.wait_started(running)
        pair.fail_over(proxy)
        fleet.client.close()
        fleet.client = pair.new_client

        moved = time.monotonic()
        later = fleet.enqueue("add", 1, 2)
        produced_s = time.monotonic() - moved
        assert later.get(timeout=60) == 3
        ran_s = time.monotonic() - moved
        figure(f"{executor}: enqueue {produced_s * 1e3:.0f} ms, its result {ran_s * 1e3:.0f} ms after the failover")
        assert ran_s <= bound(5.0)
        running.get(timeout=60)
        assert wait_for(fleet.many(name, [(0.005,)] * 40), timeout=60)
        wait_until(lambda: worker.registered(fleet.client), "the keeper has moved, too")
        fleet.wait_drained()
        wait_until(lambda: pair.new_client.info("clients")["blocked_clients"] >= 2, "all children wait there")
        assert fleet.totals()["SUCCESS"] == 82


async def test_an_event_loop_leaves_it_as_well(
    pair: Pair, open_fleet: OpenFleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    with SwitchProxy(pair.old.port) as proxy:
        fleet = open_fleet(proxy.url)
        add = fleet.app.tasks["add"]
        await add.aenqueue(1, 2)
        pair.fail_over(proxy)
        moved = time.monotonic()
        result = await add.aenqueue(1, 2)
        took_s = time.monotonic() - moved
        figure(f"event loop: enqueue {took_s * 1e3:.0f} ms after the failover")
        assert took_s <= bound(5.0)
        assert pair.new_client.hexists(fleet.keys.messages, result.id)


def test_what_only_the_old_master_knew_to_be_settled_runs_again_at_once(pair: Pair, open_fleet: OpenFleet) -> None:
    """By the word of the new one it is held, by a child that has settled it: its lease would last for minutes."""
    with SwitchProxy(pair.old.port) as proxy:
        fleet = open_fleet(proxy.url)
        fleet.configure(lease_s=600.0)
        fleet.start("--concurrency", "1")
        gate = fleet.gate()
        task = fleet.enqueue("nap_until", gate.path)
        fleet.record.wait_started(task)
        assert pair.old_client.wait(1, 60_000) == 1
        pair.new_client.replicaof("NO", "ONE")
        gate.open()
        task.get(timeout=60)
        proxy.switch(pair.new.port)
        pair.old_client.replicaof("127.0.0.1", pair.new.port)
        fleet.client.close()
        fleet.client = pair.new_client
        fleet.wait_drained()
        assert len(fleet.record.of(task)) == 2
        assert fleet.totals() == {"SUCCESS": 1}
