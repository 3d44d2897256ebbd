"""Measure whether a drain stays as quick when much else is there: many queued, queues, priorities, delayed tasks.

Each case takes turns with a plain drain of as many no-op tasks from one queue, and the ratio is to that of the same
round, because machines are noisy: of the rate, and of the processor time that workers and server spend on a task.
Each drain is measured from its first tenth to its ninth.

    uv run python benchmarks/growth.py [--tasks 40000] [--rounds 3] [--children 2] [--server redis-server]
        [--only "5,000 queues"]

A million queued tasks take about 0.5 GB of the server's memory, and the time to enqueue them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import redis

HERE = Path(__file__).resolve().parent
URL_VARIABLE = "STREAMTASKS_BENCHMARK_URL"
LOT = 10_000
ASKED = 0.95
PLAIN = "plain"


class Figures(NamedTuple):
    """Of one drain: tasks a second, and us of processor time for a task."""

    per_s: float
    worker_us: float
    server_us: float


def enqueue(count: int, **options: Any) -> None:
    """Enqueue no-op tasks with these options."""
    from bench_tasks import noop

    task = noop.using(**options) if options else noop
    for start in range(0, count, LOT):
        task.enqueue_many([()] * min(LOT, count - start))


def spread(tasks: int, name: str, values: range) -> None:
    """Enqueue tasks evenly over the values of an option."""
    for value in values:
        enqueue(tasks // len(values), **{name: f"queue{value}" if name == "queue" else value})


def delayed(tasks: int) -> None:
    """Enqueue 100,000 tasks for later, then those that are drained."""
    from bench_tasks import app, noop

    for _ in range(100_000 // LOT):
        app.enqueue([noop.message((), {}) for _ in range(LOT)], timedelta(hours=1))
    enqueue(tasks)


CASES: dict[str, Callable[[int], None]] = {
    PLAIN: enqueue,
    "1,000,000 queued": lambda _: enqueue(1_000_000),
    "1,000 queues": lambda tasks: spread(tasks, "queue", range(1_000)),
    "5,000 queues": lambda tasks: spread(tasks, "queue", range(5_000)),
    "201 priorities": lambda tasks: spread(tasks, "priority", range(-100, 101)),
    "100,000 delayed": delayed,
}


def drain(case: str, tasks: int, children: int, url: str) -> Figures:
    """Fill an empty server, and drain it."""
    from bench_tasks import app

    client: Any = redis.Redis.from_url(url)
    client.flushall()
    app.store.agree()  # type: ignore[attr-defined]
    CASES[case](tasks)
    totals = f"{app.settings.key_prefix}{{{app.settings.tags[0]}}}:totals"
    server = psutil.Process(int(client.info("server")["process_id"]))

    def wait_for(count: int) -> int:
        while (done := int(client.hget(totals, "SUCCESS") or 0)) < count:
            time.sleep(0.002)
        return done

    environment = os.environ | {"PYTHONPATH": str(HERE)}
    command = [sys.executable, "-m", "streamtasks_workers", "--app", "bench_tasks:app", "--log-level", "WARNING"]
    worker = psutil.Popen([*command, "--concurrency", str(children)], env=environment)
    try:
        first = wait_for(tasks // 10)
        family = [worker, *worker.children(recursive=True)]
        began, worker_s, server_s = time.perf_counter(), cpu_s(family), cpu_s([server])
        ran = wait_for(tasks * 9 // 10) - first
        spent_s = time.perf_counter() - began
        return Figures(ran / spent_s, (cpu_s(family) - worker_s) / ran * 1e6, (cpu_s([server]) - server_s) / ran * 1e6)
    finally:
        worker.terminate()
        worker.wait(60)


def cpu_s(processes: list[psutil.Process]) -> float:
    """Return the processor time of processes, seconds."""
    return sum(sum(one.cpu_times()[:2]) for one in processes)


def main() -> None:
    """Measure and print; the exit status is 1 if a ratio of rates is below `ASKED`."""
    from streamtasks_workers.testing.embedded import EmbeddedServer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--children", type=int, default=2)
    parser.add_argument("--server", help="a redis-server or valkey-server binary; default: the embedded one")
    parser.add_argument("--only", action="append", choices=[name for name in CASES if name != PLAIN])
    given = parser.parse_args()
    worst = 1.0
    with EmbeddedServer(binary=given.server) as server:
        os.environ[URL_VARIABLE] = server.url
        for case in given.only or [name for name in CASES if name != PLAIN]:
            found: dict[str, list[Figures]] = {PLAIN: [], case: []}
            for turn in range(given.rounds):
                for name in list(found)[:: -1 if turn % 2 else 1]:
                    found[name].append(drain(name, given.tasks, given.children, server.url))
            ratios = [
                [mine / plain for mine, plain in zip(*pair, strict=True)]
                for pair in zip(found[case], found[PLAIN], strict=True)
            ]
            rate, worker, by_server = (statistics.median(column) for column in zip(*ratios, strict=True))
            worst = min(worst, rate)
            per_s, worker_us, server_us = (statistics.median(column) for column in zip(*found[case], strict=True))
            print(
                f"{case:18} {per_s:8,.0f}/s  {rate:.2f} x the plain drain ({min(r[0] for r in ratios):.2f} to "
                f"{max(r[0] for r in ratios):.2f}; asked {ASKED})  worker {worker_us:5.1f} us, {worker:.2f} x  "
                f"server {server_us:5.1f} us, {by_server:.2f} x",
                flush=True,
            )
    sys.exit(worst < ASKED)


if __name__ == "__main__":
    main()
