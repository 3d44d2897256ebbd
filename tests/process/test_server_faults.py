"""The server goes away and comes back, with its data or without."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable

import pytest
import redis

from streamtasks import wait_for
from streamtasks.exceptions import StoreUnavailable
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.process.test_executors import EXECUTORS
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until
from tests.support.worker_process import is_alive

OwnServer = Callable[..., EmbeddedServer]
OpenFleet = Callable[[str], Fleet]
AWAY = "does not reach the store"
BACK = "reaches the store of"


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_server_killed_and_restarted_with_its_data(
    own_server: OwnServer,
    open_fleet: OpenFleet,
    executor: str,
    figure: Callable[[str], None],
    bound: Callable[[float], float],
) -> None:
    server = own_server(append_only=True)
    fleet = open_fleet(server.url)
    worker = fleet.start("--concurrency", "2", *EXECUTORS[executor])
    results = fleet.many("anap" if executor == "async" else "nap", [(0.005,)] * 600)
    wait_until(lambda: fleet.totals().get("SUCCESS", 0) > 50, "work is under way")
    server.kill()
    worker.wait_log(AWAY)
    server.start()
    back = time.monotonic()
    first = wait_until(lambda: [e for e in fleet.record.executions() if e.started > back], "work goes on")[0]
    figure(f"first task {(first.started - back) * 1e3:.0f} ms after the server was back")
    assert first.started - back <= bound(5.0)
    wait_until(lambda: _drained(fleet), "everything is finished")
    assert fleet.totals()["SUCCESS"] == len(results) == 600
    times = Counter(e.id for e in fleet.record.executions())
    assert len(times) == 600
    assert set(times.values()) == {1}, "what was finished before is settled, not run again"
    # The keeper speaks for all: once when the server goes, and once when it is back.
    worker.wait_log(BACK)
    assert worker.log.count(AWAY) == 1
    assert worker.log.count(BACK) == 1


def _drained(fleet: Fleet) -> bool:
    try:
        return fleet.unfinished() == 0
    except redis.ConnectionError:
        return False


def test_a_server_restarted_empty(own_server: OwnServer, open_fleet: OpenFleet, figure: Callable[[str], None]) -> None:
    server = own_server()
    fleet = open_fleet(server.url)
    fleet.configure(lease_s=6.0)  # a worker enters itself in the registry six times a lease
    worker = fleet.start("--concurrency", "2")
    running = fleet.enqueue("nap", 1.5)
    fleet.record.wait_started(running)
    children = worker.pids().children
    server.kill()
    server.start()
    began = time.monotonic()
    results = fleet.many("add", [(n, 1) for n in range(100)])
    assert wait_for(results, timeout=60)
    figure(f"100 new tasks done {time.monotonic() - began:.2f} s after the empty server was up")
    later = fleet.enqueue("add", 1, 2, queue="another")
    assert later.get(timeout=60) == 3
    wait_until(lambda: worker.registered(fleet.client), "the worker is in the registry again")
    assert worker.process.poll() is None
    assert worker.pids().children == children, [line for line in worker.log.splitlines() if "state=" not in line]


def test_a_server_that_stalls_is_no_reason_to_run_anything_twice(own_server: OwnServer, open_fleet: OpenFleet) -> None:
    server = own_server()
    fleet = open_fleet(server.url)
    fleet.configure(lease_s=2.0)
    fleet.start("--concurrency", "2", "--lease", "2")
    results = fleet.many("nap", [(0.01,)] * 200)
    wait_until(lambda: fleet.totals().get("SUCCESS", 0) > 20, "work is under way")
    server.pause()
    stalled = time.monotonic()
    wait_until(lambda: time.monotonic() - stalled > 1.0, "the stall lasts half a lease")
    server.resume()
    assert wait_for(results, timeout=60)
    assert set(Counter(e.id for e in fleet.record.executions()).values()) == {1}
    assert fleet.totals() == {"SUCCESS": 200}


def test_a_worker_waits_for_a_server_that_is_not_there_yet(own_server: OwnServer, open_fleet: OpenFleet) -> None:
    server = own_server()
    fleet = open_fleet(server.url)
    server.kill()
    worker = fleet.worker("--concurrency", "1")
    worker.spawn()
    worker.wait_log("the worker waits for it")
    fleet.configure(timeout_s=0.3)
    with pytest.raises(StoreUnavailable, match=rf"127\.0\.0\.1:{server.port}"):
        fleet.enqueue("add", 1, 2)
    assert worker.process.poll() is None
    server.start()
    fleet.configure(timeout_s=10.0)
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3


@pytest.mark.slow  # it tries for 7 s to give back what its children hold and to leave the registry
def test_a_worker_stops_although_the_server_is_away(own_server: OwnServer, open_fleet: OpenFleet) -> None:
    server = own_server()
    fleet = open_fleet(server.url)
    worker = fleet.start("--concurrency", "2", "--grace", "1")
    fleet.wait_idle(2)
    everyone = worker.all_pids()
    server.kill()
    worker.wait_log(AWAY)
    worker.terminate()
    worker.wait()
    assert not any(is_alive(pid) for pid in everyone)


def test_no_line_says_that_a_server_is_back_while_nothing_listens(own_server: OwnServer, open_fleet: OpenFleet) -> None:
    server = own_server()
    fleet = open_fleet(server.url)
    worker = fleet.start("--concurrency", "1")
    server.kill()
    worker.wait_log(AWAY)
    away = time.monotonic()
    wait_until(lambda: time.monotonic() - away > 4.0, "every role has run meanwhile")
    assert (worker.log.count(AWAY), worker.log.count(BACK)) == (1, 0)
    server.start()
    worker.wait_log(BACK)
    fleet.enqueue("add", 1, 2).get(timeout=60)
    assert (worker.log.count(AWAY), worker.log.count(BACK)) == (1, 1)
    lines = [line for line in worker.log.splitlines() if AWAY in line or BACK in line]
    assert all(re.search(rf"redis://(\.\.\.@)?127\.0\.0\.1:{server.port}/0", line) for line in lines)
