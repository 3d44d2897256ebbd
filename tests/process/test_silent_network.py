"""The network loses connections without a word: no FIN, no RST. Nobody waits on them for ever."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import redis

from streamtasks import StreamTasks, wait_for
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.process.tasks import proc_app
from tests.process.test_executors import EXECUTORS
from tests.support.fleet import Fleet
from tests.support.switch_proxy import SwitchProxy
from tests.support.waiting import wait_until

OpenFleet = Callable[[str], Fleet]

PROMISED_S = 10.0

pytestmark = [pytest.mark.slow, pytest.mark.outage]


class Net:
    """A fleet that reaches its server through a proxy, and an app that reaches it directly."""

    def __init__(self, server: EmbeddedServer, proxy: SwitchProxy, fleet: Fleet) -> None:
        self.proxy, self.fleet = proxy, fleet
        self.direct: StreamTasks = proc_app.make(server.url)
        fleet.client.close()
        fleet.client = redis.Redis.from_url(server.url, decode_responses=True)

    def start_direct_worker(self) -> None:
        """Start a worker that reaches the server directly."""
        worker = self.fleet.worker("--concurrency", "2")
        worker.url = self.direct.settings.url
        worker.start()

    def lose_connections(self) -> None:
        """Silence all connections there are; new ones work."""
        self.proxy.silence()
        self.proxy.heal()


@pytest.fixture
def net(own_server: Callable[..., EmbeddedServer], open_fleet: OpenFleet) -> Iterator[Net]:
    server = own_server()
    with SwitchProxy(server.port) as proxy:
        fleet = open_fleet(proxy.url)
        yield Net(server, proxy, fleet)
        fleet.close()


each_executor = pytest.mark.parametrize("executor", ["inline", "threads", "async"])


@each_executor
def test_an_idle_worker_takes_what_comes_after_its_connections_were_lost(
    net: Net, executor: str, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    fleet = net.fleet
    worker = fleet.start("--concurrency", "2", *EXECUTORS[executor])
    fleet.wait_idle(2)
    net.lose_connections()
    lost = time.monotonic()
    results = [net.direct.tasks["aadd" if executor == "async" else "add"].enqueue(n, 1) for n in range(4)]
    assert wait_for(results, timeout=120)
    took_s = time.monotonic() - lost
    figure(f"{executor}: results {took_s:.1f} s after the connections were lost")
    assert took_s <= bound(PROMISED_S)
    assert [result.attempts for result in results] == [1] * 4, "what the silent wait claimed is not lost"
    fleet.wait_drained()
    assert set(Counter(e.id for e in fleet.record.executions()).values()) == {1}
    wait_until(lambda: worker.registered(fleet.client), "the keeper goes on")
    assert "trying a new connection" in worker.log


@each_executor
def test_a_busy_worker_goes_on_after_a_silence(
    net: Net, executor: str, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    fleet = net.fleet
    fleet.start("--concurrency", "2", *EXECUTORS[executor])
    name = "anap" if executor == "async" else "nap"
    results = net.direct.tasks[name].enqueue_many([(0.05,)] * 400)
    wait_until(lambda: fleet.totals().get("SUCCESS", 0) > 10, "work is under way")
    net.proxy.silence()
    silent = time.monotonic()
    wait_until(lambda: time.monotonic() - silent > 3.0, "nothing comes through for a while")
    net.proxy.heal()
    healed, before = time.monotonic(), fleet.totals()["SUCCESS"]
    wait_until(lambda: fleet.totals()["SUCCESS"] > before, "outcomes are recorded again")
    took_s = time.monotonic() - healed
    figure(f"{executor}: outcomes again {took_s:.1f} s after the silence had ended")
    assert took_s <= bound(PROMISED_S)
    assert wait_for(results, timeout=120)
    assert set(Counter(e.id for e in fleet.record.executions()).values()) == {1}


def test_a_producer_gets_its_result_although_its_connections_were_lost(
    net: Net, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    fleet = net.fleet
    net.start_direct_worker()
    result = fleet.enqueue("nap", 3.0)
    fleet.record.wait_started(result)
    began = time.monotonic()
    threading.Timer(0.5, net.lose_connections).start()
    result.get(timeout=60)
    got_s = time.monotonic() - began
    fleet.enqueue("add", 1, 2)
    net.lose_connections()
    again = time.monotonic()
    fleet.enqueue("add", 1, 2)
    enqueued_s = time.monotonic() - again
    figure(f"result of a 3 s task after {got_s:.1f} s, an enqueue on a lost connection {enqueued_s:.1f} s")
    assert got_s <= bound(PROMISED_S)
    assert enqueued_s <= bound(PROMISED_S)


async def test_an_event_loop_gets_its_result_although_its_connections_were_lost(
    net: Net, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    net.start_direct_worker()
    result = await net.fleet.app.tasks["nap"].aenqueue(3.0)
    began = time.monotonic()
    asyncio.get_running_loop().call_later(0.5, net.lose_connections)
    await result.aget(timeout=60)
    got_s = time.monotonic() - began
    figure(f"event loop: result of a 3 s task after {got_s:.1f} s")
    assert got_s <= bound(PROMISED_S)


@pytest.mark.parametrize("executor", ["threads", "async"])
def test_coroutines_go_on_while_their_child_tries_to_connect(
    net: Net, executor: str, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    fleet = net.fleet
    fleet.start("--concurrency", "1", *EXECUTORS[executor])
    fleet.wait_idle(1)
    result = net.direct.tasks["longest_gap"].enqueue(14.0)
    fleet.record.wait_started(result)
    net.proxy.silence()
    silent = time.monotonic()
    wait_until(lambda: time.monotonic() - silent > 11.0, "the child has noticed the silence, and tries to connect")
    net.proxy.heal()
    longest_s = result.get(timeout=60)
    figure(f"{executor}: a coroutine was kept waiting for at most {longest_s * 1e3:.0f} ms")
    assert longest_s < bound(1.0)
