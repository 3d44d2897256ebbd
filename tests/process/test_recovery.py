"""Whatever happens to the server, workers run new tasks soon after it, and do not burn time while they wait for it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest
import redis

from streamtasks import wait_for
from streamtasks.protocol.keys import GROUP
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.fleet import Fleet
from tests.support.waiting import pass_time

pytestmark = pytest.mark.outage

OwnServer = Callable[..., EmbeddedServer]
OpenFleet = Callable[[str], Fleet]

RECOVERED_S = 5.0
AWAY_S = 3.0
STALL_S = 12.0
"""Longer than a client waits for a reply."""
BUSY = 0.5
"""Of a processor: a busy loop takes all that it can get."""


def restart(fleet: Fleet, server: EmbeddedServer) -> None:
    server.kill()
    pass_time(AWAY_S)
    server.start()


def flush_scripts(fleet: Fleet, server: EmbeddedServer) -> None:
    fleet.client.script_flush()


def kill_clients(fleet: Fleet, server: EmbeddedServer) -> None:
    for kind in ("normal", "pubsub"):
        fleet.client.client_kill_filter(_type=kind, skipme=True)


def destroy_groups(fleet: Fleet, server: EmbeddedServer) -> None:
    assert fleet.client.xgroup_destroy(fleet.keys.stream("0:default"), GROUP) == 1


def stall(fleet: Fleet, server: EmbeddedServer) -> None:
    server.pause()
    pass_time(STALL_S)
    server.resume()


@pytest.mark.parametrize(
    ("happens", "has_file"),
    [
        pytest.param(restart, True, id="restart with its data"),
        pytest.param(restart, False, id="restart without data"),
        pytest.param(flush_scripts, False, id="SCRIPT FLUSH"),
        pytest.param(kill_clients, False, id="CLIENT KILL"),
        pytest.param(destroy_groups, False, id="XGROUP DESTROY"),
        pytest.param(stall, False, id="stall of 12 s", marks=pytest.mark.slow),
    ],
)
def test_new_tasks_run_soon_after_it(
    own_server: OwnServer,
    open_fleet: OpenFleet,
    happens: Callable[[Fleet, EmbeddedServer], None],
    has_file: bool,
    figure: Callable[[str], None],
    bound: Callable[[float], float],
) -> None:
    server = own_server(append_only=has_file)
    fleet = open_fleet(server.url)
    worker = fleet.start("--concurrency", "2")
    children = worker.pids().children
    before = fleet.many("nap", [(0.3,)] * 20)  # the first ones run while it happens, the others wait
    fleet.record.wait_started(before[0])
    took_s, began = worker.cpu_s(), time.monotonic()
    happens(fleet, server)
    over = time.monotonic()
    busy = (worker.cpu_s() - took_s) / (over - began)
    keeps_data = has_file or happens is not restart
    results = fleet.many("add", [(n, 1) for n in range(10)], priority=10)
    assert wait_for(results, timeout=60)
    recovered_s = time.monotonic() - over
    figure(f"new tasks done after {recovered_s:.2f} s; {busy:.2f} of a processor meanwhile")
    assert recovered_s <= bound(RECOVERED_S)
    if over - began >= AWAY_S:
        assert busy <= BUSY
    if keeps_data:
        assert wait_for(before, timeout=60)
        fleet.wait_drained()
        assert fleet.totals()["SUCCESS"] == 30
        runs = Counter(execution.id for execution in fleet.record.executions())
        assert len(runs) == 30
        assert sum(runs.values()) <= 30 + 2  # two were running
    fleet.wait_idle(2)
    took_s, began = worker.cpu_s(), time.monotonic()
    pass_time(1.0)
    assert (worker.cpu_s() - took_s) / (time.monotonic() - began) <= BUSY
    assert worker.pids().children == children
    fleet.enqueue("add", 1, 2, queue="another").get(timeout=60)


LEASE_S = 2.0
AWAY_FOR_S = 4.5 * LEASE_S
LONG_S = 6 * LEASE_S
"""As a task of 60 s with the server away for 45 s and a lease of 10 s, in less time."""


@pytest.mark.slow
@pytest.mark.parametrize(("fence_after_s", "runs"), [(LEASE_S, 2), (12 * LEASE_S, 1)], ids=["as the lease", "longer"])
def test_a_long_task_while_the_server_is_away(
    own_server: OwnServer, open_fleet: OpenFleet, fence_after_s: float, runs: int
) -> None:
    server = own_server(append_only=True)
    fleet = open_fleet(server.url)
    fleet.configure(lease_s=LEASE_S)
    worker = fleet.start("--concurrency", "1", "--fence-after", str(fence_after_s))
    result = fleet.enqueue("nap", LONG_S)
    fleet.record.wait_started(result)
    server.kill()
    pass_time(AWAY_FOR_S)
    server.start()
    result.get(timeout=60)
    fleet.wait_drained()
    assert len(fleet.record.of(result)) == runs
    assert fleet.totals()["SUCCESS"] == 1
    assert ("fenced: no renewal" in worker.log) == (runs == 2)


def test_a_server_without_its_groups_has_new_ones(fleet: Fleet) -> None:
    """What was claimed when they were destroyed has its outcome all the same."""
    fleet.start("--concurrency", "2")
    gate = fleet.gate()
    running = [fleet.enqueue("nap_until", gate.path) for _ in range(2)]
    for result in running:
        fleet.record.wait_started(result)
    waiting = fleet.many("add", [(n, 1) for n in range(20)])
    with redis.Redis.from_url(fleet.url) as client:
        assert client.xgroup_destroy(fleet.keys.stream("0:default"), GROUP) == 1
    gate.open()
    assert wait_for([*running, *waiting], timeout=60)
    fleet.wait_drained()
    assert fleet.totals()["SUCCESS"] == 22
