"""Run tasks that harm their process beside innocent ones, and show how each ends, as a table of Markdown.

    uv run python benchmarks/hostile.py [--executors inline,threads] [--only fork_and_exit,...] [--together]

Each body runs in a worker of its own, among innocent tasks, in each executor. A cell says how the hostile task ended
and what became of the innocents that did not simply succeed at the first attempt: *again* ran a second time
(uncharged: it was lost with its worker), *charged* were blamed for a crash, *wrong* have another outcome, *unfinished*
have none. ``--together`` runs all bodies one after the other in one worker, with 1,000 innocents beside them. A worker
that ends is started again, as a process manager would. The exit status is 1 if an innocent was charged, wrong or
unfinished.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import redis

sys.path.insert(0, str(Path(__file__).parent.parent))

from streamtasks import Result, State
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.process.tasks import hostile_app
from tests.process.test_executors import EXECUTORS
from tests.support.fleet import Fleet
from tests.support.worker_process import Worker

ROOT = Path(__file__).parent.parent
SETTINGS: dict[str, Any] = {"lease_s": 2.0, "crash_limit": 3, "lost_limit": 3, "crash_delay_s": 0.1}
NAP_S = 0.05
PATIENCE_S = 20.0
TOGETHER = 1000
GOOD = ("right", "again")


class Yard:
    """A server and one worker that is started again whenever it ends; a context manager."""

    def __init__(self, server: EmbeddedServer, executor: str) -> None:
        with redis.Redis.from_url(server.url) as client:
            client.flushall()
        self._folder = tempfile.TemporaryDirectory(prefix="streamtasks-hostile-")
        self.fleet = Fleet(server.url, Path(self._folder.name))
        self.fleet.configure(**SETTINGS)
        self.fleet.app = hostile_app.make(server.url, **SETTINGS)
        self._options = ("--concurrency", "2", "--grace", "2", *EXECUTORS[executor])
        self._coroutines = executor == "async"
        self._worker = self._start()
        self.restarts = 0

    def __enter__(self) -> Yard:
        return self

    def __exit__(self, *_: object) -> None:
        self.fleet.close()
        self._folder.cleanup()

    def _start(self) -> Worker:
        worker = self.fleet.worker(*self._options, app="hostile_app:app", environment={"PYTHONPATH": str(ROOT)})
        worker.spawn()  # what is left from the one before may end it before it is ready
        return worker

    def innocents(self, count: int) -> list[Result[Any]]:
        """Enqueue tasks that harm nobody."""
        return self.fleet.many("anap" if self._coroutines else "nap", [(NAP_S,)] * count)

    def wait(self, results: list[Result[Any]], retry_time_s: float) -> None:
        """Wait until all are finished, or patience is over; start the worker again when it has ended."""
        deadline = time.monotonic() + retry_time_s
        ids = {result.id for result in results}
        while ids and time.monotonic() < deadline:
            ids -= {found.id for found in self.fleet.app.store.wait_finished(sorted(ids)[:100], 0.2)}
            if self._worker.process.poll() is not None:
                self._worker.end()
                self._worker = self._start()
                self.restarts += 1

    def judge(self, innocent: Result[Any]) -> str:
        """Say what became of an innocent task."""
        snapshot = innocent.snapshot()
        if not snapshot.is_finished:
            return "unfinished"
        if snapshot.state != State.SUCCESS or innocent.get(0) != NAP_S:
            return "wrong"
        kinds = {report["kind"] for report in snapshot.reports}
        if kinds - {"LOST"}:
            return "charged"
        return "right" if len(self.fleet.record.of(innocent)) == 1 else "again"


def end_of(result: Result[Any]) -> str:
    """Say how a hostile task ended."""
    snapshot = result.snapshot()
    if not snapshot.is_finished:
        return f"{snapshot.state}, no end"
    if snapshot.state == State.SUCCESS:
        return f"SUCCESS ({result.get(0)})"
    return f"{snapshot.state} ({type(result.result).__name__})"


def told(counts: Counter[str]) -> str:
    bad = [f"{count} {fate}" for fate, count in sorted(counts.items()) if fate != "right"]
    return ", ".join(bad) or "all right"


def alone(server: EmbeddedServer, executor: str, body: str) -> tuple[str, Counter[str]]:
    """Run one body among innocents, in a worker of its own."""
    with Yard(server, executor) as yard:
        innocents = yard.innocents(10)
        hostile = yard.fleet.enqueue(body)
        innocents += yard.innocents(10)
        yard.wait([hostile], PATIENCE_S)
        innocents += yard.innocents(10)  # what it has done to its process meets these
        yard.wait([hostile, *innocents], PATIENCE_S)
        return end_of(hostile), Counter(map(yard.judge, innocents))


def together(server: EmbeddedServer, executor: str, bodies: list[str]) -> Counter[str]:
    """Run all bodies one after the other in one worker, with many innocents beside them."""
    share = TOGETHER // len(bodies)
    with Yard(server, executor) as yard:
        innocents = yard.innocents(TOGETHER - share * len(bodies))
        for body in bodies:
            innocents += yard.innocents(share // 2)
            hostile = yard.fleet.enqueue(body)
            innocents += yard.innocents(share - share // 2)
            yard.wait([hostile], PATIENCE_S)
        yard.wait(innocents, 3 * PATIENCE_S)
        return Counter(map(yard.judge, innocents))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [body.__name__ for body in hostile_app.BODIES]
    parser.add_argument("--executors", default=",".join(EXECUTORS), help="default: %(default)s")
    parser.add_argument("--only", default=",".join(names), help="names of bodies; default: all")
    parser.add_argument("--together", action="store_true", help="only the run of all bodies in one worker")
    parser.add_argument("--server", help="the server's program; default: the embedded Valkey")
    options = parser.parse_args()
    executors, bodies = options.executors.split(","), options.only.split(",")
    total: Counter[str] = Counter()
    with EmbeddedServer(options.server) as server:
        print(f"| body | {' | '.join(executors)} |\n|---|{'---|' * len(executors)}", flush=True)
        for body in () if options.together else bodies:
            cells = []
            for executor in executors:
                end, counts = alone(server, executor, body)
                cells.append(f"{end}; {told(counts)}")
                total += counts
            print(f"| `{body}` | {' | '.join(cells)} |", flush=True)
        cells = []
        for executor in executors:
            counts = together(server, executor, bodies)
            cells.append(f"{TOGETHER} innocents: {told(counts)}")
            total += counts
        print(f"| all in one worker | {' | '.join(cells)} |")
    return 0 if set(total) <= set(GOOD) else 1


if __name__ == "__main__":
    sys.exit(main())
