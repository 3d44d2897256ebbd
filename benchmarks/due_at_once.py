"""Measure how long ready tasks of a higher priority wait for their start while 100,000 delayed ones become due at once.

One is enqueued every 20 ms: first while nothing is due, then from the moment on at which all others are.

    uv run python benchmarks/due_at_once.py [--tasks 100000] [--server redis-server]

The exit status is 1 if 99 in 100 of them are not delayed by at most 20 ms.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis

HERE = Path(__file__).resolve().parent
URL_VARIABLE = "STREAMTASKS_BENCHMARK_URL"
PERIOD_S, LOT, ASKED_MS = 0.02, 1_000, 20.0


def waits_ms(count: int, path: Path) -> list[float]:
    """Enqueue ready tasks; return how long each waited for its start."""
    from bench_tasks import tick

    urgent, called = tick.using(priority=1), []
    path.write_bytes(b"")
    for _ in range(count):
        time.sleep(PERIOD_S)
        called.append(time.monotonic_ns())
        urgent.enqueue(str(path), 0.0)
    while len(lines := path.read_bytes().splitlines()) < count:
        time.sleep(0.05)
    started = sorted(int(line.split()[1]) for line in lines)
    return [(at - before) / 1e6 for before, at in zip(called, started, strict=True)]


def measure(tasks: int, client: Any, path: Path) -> tuple[list[float], list[float], float]:
    """Return the waits while nothing is due and while all is, and seconds until all that was due has run."""
    from bench_tasks import app, noop

    noop.enqueue().get(timeout=60)  # the worker is there
    before = waits_ms(200, path)
    due = datetime.now(UTC) + timedelta(seconds=5 + tasks / 10_000)
    later = noop.using(run_after=due)
    for start in range(0, tasks, LOT):
        later.enqueue_many([()] * min(LOT, tasks - start))
    if datetime.now(UTC) > due:
        raise SystemExit("this machine is too slow to enqueue them before they are due")
    totals = f"{app.settings.key_prefix}{{{app.settings.tags[0]}}}:totals"
    ended = int(client.hget(totals, "SUCCESS"))
    time.sleep((due - datetime.now(UTC)).total_seconds())
    began = time.monotonic()
    during = waits_ms(100, path)
    while int(client.hget(totals, "SUCCESS")) < ended + tasks + 100:
        time.sleep(0.01)
    return before, during, time.monotonic() - began


def p99(values: list[float]) -> float:
    """Return what 99 in 100 do not exceed."""
    return sorted(values)[math.ceil(len(values) * 0.99) - 1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--server", help="a redis-server or valkey-server binary; default: the embedded one")
    given = parser.parse_args()
    from streamtasks_workers.testing.embedded import EmbeddedServer

    with EmbeddedServer(binary=given.server) as server, tempfile.TemporaryDirectory() as directory:
        os.environ[URL_VARIABLE] = server.url
        command = [sys.executable, "-m", "streamtasks_workers", "--app", "bench_tasks:app", "--concurrency", "2"]
        worker = subprocess.Popen([*command, "--log-level", "WARNING"], env=os.environ | {"PYTHONPATH": str(HERE)})
        try:
            before, during, all_s = measure(given.tasks, redis.Redis.from_url(server.url), Path(directory, "ticks"))
        finally:
            worker.terminate()
            worker.wait(60)
    for name, waits in (("nothing due", before), (f"{given.tasks:,} due", during)):
        print(f"{name:14} p50 {statistics.median(waits):5.1f}  p99 {p99(waits):5.1f}  most {max(waits):5.1f} ms")
    delayed_ms = p99(during) - statistics.median(before)
    print(f"delayed by {delayed_ms:.1f} ms (asked {ASKED_MS:g}); all that was due had run after {all_s:.1f} s")
    sys.exit(delayed_ms > ASKED_MS)


if __name__ == "__main__":
    main()
