"""Each alert is fired by its real fault, and each query finds something, with a Prometheus that scrapes a worker."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry, start_http_server

from streamtasks import State
from streamtasks.operations.store_metrics import StoreCollector
from streamtasks.schedules.rules import every
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.fleet import Fleet
from tests.support.ports import free_port
from tests.support.prometheus import Prometheus, board_queries, rules
from tests.support.servers import silence
from tests.support.waiting import DEADLINE_S, wait_until

SETTINGS: dict[str, Any] = {"lease_s": 2.0, "idle_poll_s": 0.2, "crash_limit": 1}
SECONDS = {"StreamtasksQueueLatency": 2.0, "StreamtasksWorkerSilent": 2.0, "StreamtasksScheduleOverdue": 2.0}
"""Limits of alerts for this test, which does not wait for minutes."""

OFTEN = (3, 0.0)
"""Three retries at once for each end: more than the two that the alert allows."""

LAGGING_BYTES = 11_000_000
FORGOTTEN_MS = 60_000
"""A worker that has given no sign of life for so long counts no more."""


@pytest.fixture
def servers() -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    """A master and its replica."""
    with EmbeddedServer(extra_args=("--repl-diskless-sync-delay", "0")) as master, EmbeddedServer() as replica:
        with redis.Redis(port=replica.port) as client:
            client.replicaof("127.0.0.1", master.port)
        yield master, replica


@pytest.fixture
def fleet(servers: tuple[EmbeddedServer, EmbeddedServer], tmp_path: Path) -> Iterator[Fleet]:
    """An app on the master and no worker yet."""
    made = Fleet(servers[0].url, tmp_path, dict(SETTINGS))
    yield made
    servers[0].resume()
    made.close()


@pytest.fixture
def store_port(fleet: Fleet) -> Iterator[int]:
    """The port at which the metrics of the store are, as in a site: they stay when workers go."""
    registry, port = CollectorRegistry(auto_describe=False), free_port()
    registry.register(StoreCollector([fleet.app.store]))
    server, thread = start_http_server(port, "127.0.0.1", registry)
    yield port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.slow
def test_queries_find_something_of_a_real_worker_and_alerts_its_faults(
    servers: tuple[EmbeddedServer, EmbeddedServer], fleet: Fleet, store_port: int, tmp_path: Path
) -> None:
    port = free_port()
    targets = {"streamtasks": f"127.0.0.1:{port}", "streamtasks-store": f"127.0.0.1:{store_port}"}
    with Prometheus(tmp_path, targets, SECONDS) as prometheus:
        options = ("--concurrency", "2", "--queues", "default", "--metrics-port", str(port))
        fleet.start(*options)
        fleet.app.schedules.create("each second", "add", every(1), (1, 1))
        all_queries_find_something(prometheus, fleet)
        faults = Faults(prometheus, fleet, *servers)
        faults.of_tasks()
        faults.of_the_server()
        faults.of_workers(options)
    assert faults.fired == set(rules("alert"))


def all_queries_find_something(prometheus: Prometheus, fleet: Fleet) -> None:
    """Wait until board, recording rules and alerts find what they ask for."""
    wait_until(lambda: prometheus.query('up{job="streamtasks"} == 1'), "the worker is scraped")
    expressions = [alert["expr"] for alert in rules("alert").values()]
    names = {name for text in expressions for name in re.findall(r"(?<![:\w])streamtasks_\w+(?![:\w])", text)}
    everything = [one.replace("$queue", ".*") for one in (*board_queries(), *rules("record"), *sorted(names))]
    until = time.monotonic() + DEADLINE_S
    while missing := [one for one in everything if not prometheus.query(one)]:
        assert time.monotonic() < until, missing
        fleet.many("add", [(1, 1)] * 20)
        fleet.enqueue("fail", "broken")
        fleet.enqueue("again", *OFTEN)
        time.sleep(0.5)


class Faults:
    """What goes wrong, in an order in which nothing has to be waited for twice.

    Attributes:
        fired: the alerts that have fired, each by its own fault.
    """

    def __init__(self, prometheus: Prometheus, fleet: Fleet, master: EmbeddedServer, replica: EmbeddedServer) -> None:
        self._prometheus, self._fleet = prometheus, fleet
        self._master, self._replica = master, replica
        self.fired: set[str] = set()

    def of_tasks(self) -> None:
        """Tasks fail, are retried without end, end their child, and wait for a place or for a worker."""
        fleet = self._fleet
        for counter in ("tasks_finished_total{task='fail'}", "task_retries_total{task='again'}"):
            # What is there at the first scrape is not seen to rise.
            wait_until(lambda name=counter: self._prometheus.query(f"streamtasks_{name}"), counter)  # type: ignore[misc]
        fleet.many("fail", [("broken",)] * 60)
        fleet.many("again", [OFTEN] * 60)
        dead = fleet.enqueue("die_by_exit", 1)
        fleet.enqueue("add", 1, 1, queue="nobody")
        self._wait("TaskFailures", task="fail")
        self._wait("RetryStorm", task="again")
        self._wait("QueueUnserved", queue="nobody")
        self._wait("DeadLetters", reason="crashed")
        assert dead.state == State.DEAD
        gate = fleet.gate()
        held = [fleet.enqueue("nap_until", gate.path) for _ in range(2)]
        for one in held:
            fleet.record.wait_started(one)
        late = fleet.enqueue("add", 1, 1)
        self._wait("QueueLatency", queue="default")
        gate.open()
        assert late.get(timeout=DEADLINE_S) == 2

    def of_the_server(self) -> None:
        """It lacks memory, its replica stands still, then it does itself while a task runs."""
        fleet = self._fleet
        memory: Any = fleet.client.info("memory")
        fleet.client.config_set("maxmemory", round(memory["used_memory"] * 1.05))
        try:
            self._wait("StoreMemory")
        finally:
            fleet.client.config_set("maxmemory", 0)
        self._replica.pause()
        try:
            fleet.client.set("large", bytes(LAGGING_BYTES), ex=60)
            self._wait("ReplicationLag")
        finally:
            self._replica.resume()
        gate = fleet.gate()
        held = fleet.enqueue("nap_until", gate.path)
        fleet.record.wait_started(held)
        self._master.pause()
        try:
            self._wait("WorkerSilent")
            self._wait("Fenced")
        finally:
            self._master.resume()
        gate.open()
        assert held.get(timeout=DEADLINE_S) == "opened"

    def of_workers(self, options: tuple[str, ...]) -> None:
        """One is killed while it runs a task; the next one is stopped, and there is none."""
        fleet = self._fleet
        gate = fleet.gate()
        held = fleet.enqueue("nap_until", gate.path)
        fleet.record.wait_started(held)
        [killed] = fleet.workers
        killed.end()
        started = fleet.start(*options)
        self._wait("Reclaims")
        gate.open()
        assert held.get(timeout=DEADLINE_S) == "opened"
        silence(fleet.app.settings, killed.registered_name, FORGOTTEN_MS)
        started.terminate()
        assert started.wait() == 0
        wait_until(lambda: self._prometheus.query("streamtasks_workers == 0"), "no worker is left")
        self._wait("NoWorkers")
        self._wait("ScheduleOverdue")

    def _wait(self, name: str, **labels: str) -> None:
        """Wait until an alert fires that has these labels, and look at its text."""
        name = f"Streamtasks{name}"

        def found() -> list[dict[str, Any]]:
            alerts = self._prometheus.firing().get(name, [])
            return [alert for alert in alerts if labels.items() <= alert["labels"].items()]

        [alert, *_] = wait_until(found, lambda: f"{name} fires; {self._prometheus.firing()}", every_s=0.1)
        summary = alert["annotations"]["summary"]
        assert "<error" not in summary
        assert "<no value>" not in summary
        self.fired.add(name)
