"""Measure how fast queued no-op tasks with stored results are drained, beside a hand-written loop without features.

The loop (the *floor*) does the least that a stream worker can do: XREADGROUP COUNT 100, decode, then one
pipeline of SET with expiry, XACK and XDEL for the batch. It has no retries, no recovery, no state, no RUNNING and
no wake-ups. Both take turns in the same run because machines are noisy: only their ratio means something.

    uv run python benchmarks/drain.py [--tasks 50000] [--rounds 3] [--server redis-server]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import redis

sys.path.insert(0, str(Path(__file__).parent))
URL_VARIABLE = "STREAMTASKS_BENCHMARK_URL"


def settle_batch(
    client: Any, entries: list[Any], run: Callable[[dict[str, Any]], Any] | None = None, count_in: str | None = None
) -> None:
    """Decode a batch of the floor, run it if asked to, store the results, acknowledge and delete: one pipeline."""
    pipe = client.pipeline(transaction=False)
    ids = []
    for entry, fields in entries:
        message = orjson.loads(fields[b"body"])
        pipe.set(f"result:{message['id']}", orjson.dumps({"r": run and run(message)}), ex=86_400)
        ids.append(entry)
    pipe.xack("floor", "g", *ids)
    pipe.xdel("floor", *ids)
    if count_in:
        pipe.incrby(count_in, len(ids))
    pipe.execute()


def floor_child(url: str, name: str) -> None:
    """Read, decode, store, acknowledge: 100 at a time, until nothing is left."""
    client: Any = redis.Redis.from_url(url, protocol=2)
    while True:
        read = client.xreadgroup("g", name, {"floor": ">"}, count=100)
        entries = read[0][1] if read else []
        if not entries:
            return
        settle_batch(client, entries)


def floor(url: str, tasks: int, processes: int) -> float:
    """Return the tasks per second of the floor."""
    client = redis.Redis.from_url(url, protocol=2)
    client.flushall()
    client.xgroup_create("floor", "g", "0", mkstream=True)
    for start in range(0, tasks, 100):
        pipe = client.pipeline(transaction=False)
        for number in range(start, min(start + 100, tasks)):
            body = {"id": f"{number:032x}", "t": "bench_tasks.noop", "a": [], "k": {}, "q": "default", "p": 0}
            pipe.xadd("floor", {"body": orjson.dumps(body)})
        pipe.execute()
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=floor_child, args=(url, f"c{i}")) for i in range(processes)]
    begun = time.perf_counter()
    for child in children:
        child.start()
    for child in children:
        child.join()
    return tasks / (time.perf_counter() - begun)


def streamtasks(url: str, tasks: int, children: int) -> tuple[float, float]:
    """Return the tasks per second of a real worker, from first to last outcome, and the server's us per task."""
    from bench_tasks import app, noop

    from streamtasks_workers.benchmark.drain import drain_time

    client = redis.Redis.from_url(url, protocol=2, decode_responses=True)
    client.flushall()
    noop.enqueue_many([()] * tasks)
    totals = f"{app.settings.key_prefix}{{{app.settings.tags[0]}}}:totals"
    command = [sys.executable, "-m", "streamtasks_workers", "--app", "bench_tasks:app", "--concurrency", str(children)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    worker = subprocess.Popen([*command, "--log-level", "WARNING"], env=environment)
    try:
        before: list[float] = []
        timed, spent = drain_time(
            lambda: int(client.hget(totals, "SUCCESS") or 0), tasks, lambda: before.append(_cpu(client))
        )
        return timed / spent, (_cpu(client) - before[0]) / timed * 1e6
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait()


def _cpu(client: redis.Redis) -> float:
    info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def main() -> None:
    """Run all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", help="a redis-server or valkey-server binary; default: the embedded one")
    given = parser.parse_args()
    from streamtasks_workers.testing.embedded import EmbeddedServer

    with EmbeddedServer(binary=given.server) as server:
        os.environ[URL_VARIABLE] = server.url
        rows: dict[str, list[float]] = {}
        for _ in range(given.rounds):
            for processes in (1, 2):
                rows.setdefault(f"floor, {processes} process(es)", []).append(floor(server.url, given.tasks, processes))
                speed, server_us = streamtasks(server.url, given.tasks, processes)
                rows.setdefault(f"streamtasks, {processes} child(ren)", []).append(speed)
                rows.setdefault(f"  server us per task, {processes}", []).append(server_us)
    for name, values in rows.items():
        print(f"{name:32} median {statistics.median(values):10,.1f}   of {', '.join(f'{v:,.1f}' for v in values)}")
    for processes in (1, 2):
        floors, speeds = rows[f"floor, {processes} process(es)"], rows[f"streamtasks, {processes} child(ren)"]
        ratios = [speed / base for speed, base in zip(speeds, floors, strict=True)]
        middle = statistics.median(ratios)
        print(f"ratio to the floor, {processes}: median {middle:.2f} ({min(ratios):.2f}-{max(ratios):.2f})")


if __name__ == "__main__":
    main()
