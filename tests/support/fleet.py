"""A server, an app on it and its real workers."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from streamtasks import StreamTasks
from streamtasks.protocol.keys import Keys
from streamtasks.results import Result
from tests.process.tasks import proc_app
from tests.support.execution_record import Record
from tests.support.gate import Gate
from tests.support.servers import client_of
from tests.support.waiting import DEADLINE_S, wait_until
from tests.support.worker_process import Worker


@dataclass
class Fleet:
    """One server, one app on it, its workers and the record of their executions."""

    url: str
    directory: Path
    settings: dict[str, Any] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.record = Record(self.directory / "record")
        self.app: StreamTasks = proc_app.make(self.url, **self.settings)
        self.keys = Keys(self.app.settings.key_prefix, "u0")
        self.client: redis.Redis = client_of(self.url)

    def configure(self, **settings: Any) -> None:
        """Change settings of the app, here and in workers started later."""
        self.settings |= settings
        self.app = proc_app.make(self.url, **self.settings)

    def worker(self, *options: str, **more: Any) -> Worker:
        """Make a worker; the caller starts it."""
        worker = Worker(self.url, self.directory, *options, settings=self.settings, **more)
        self.workers.append(worker)
        return worker

    def start(self, *options: str, **more: Any) -> Worker:
        """Start a worker and wait until it is ready."""
        worker = self.worker(*options, **more)
        worker.start()
        return worker

    def wait_idle(self, children: int) -> None:
        """Wait until this many children of all workers together are idle."""

        def blocked() -> bool:
            clients: Any = self.client.info("clients")
            return bool(clients["blocked_clients"] >= children)

        wait_until(blocked, f"{children} children wait for work")

    def gate(self) -> Gate:
        """Make a gate for tasks that run until it is opened."""
        self.gates.append(Gate(self.directory, f"gate{len(self.gates)}"))
        return self.gates[-1]

    def enqueue(self, name: str, *args: Any, **options: Any) -> Result[Any]:
        """Enqueue one call."""
        task = self.app.tasks[name]
        return (task.using(**options) if options else task).enqueue(*args)

    def many(self, name: str, calls: Iterable[tuple[Any, ...]], **options: Any) -> list[Result[Any]]:
        """Enqueue many calls."""
        return self.app.tasks[name].using(**options).enqueue_many(calls)

    def unfinished(self) -> int:
        """The number of messages without an outcome."""
        count: Any = self.client.hlen(self.keys.messages)
        return int(count)

    def wait_drained(self, timeout_s: float = 2 * DEADLINE_S) -> None:
        """Wait until every message has its outcome."""
        wait_until(
            lambda: self.unfinished() == 0, lambda: f"all finished; {self.unfinished()} messages are not", timeout_s
        )

    def totals(self) -> dict[str, int]:
        """Recorded outcomes by kind."""
        found: Any = self.client.hgetall(self.keys.totals)
        return {kind: int(count) for kind, count in found.items() if kind != "ms"}

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.end()
        if self.workers and self.url.startswith("redis://"):
            # On a busy machine the server notices a killed process late: until then its blocked claim may take what the
            # next test enqueues. A server that is away, or refuses this client, holds none.
            with suppress(redis.RedisError):
                self.client.client_kill_filter(_type="normal", skipme=True)
        for gate in self.gates:
            gate.open()
        self.client.close()
