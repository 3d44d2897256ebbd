"""Measure what logging attempts costs a child that drains no-op tasks: CPU time per task at three levels of the log.

``WARNING``: no line is written. ``INFO``, the default: 100 attempts a second have lines, the others are counted.
``DEBUG``: every attempt has two lines, as in Django. The levels take turns; the log goes to a file.

    uv run python benchmarks/log_cost.py [--tasks 60000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import redis

from streamtasks_workers.testing.embedded import EmbeddedServer

sys.path.insert(0, str(Path(__file__).parent))
URL_VARIABLE = "STREAMTASKS_BENCHMARK_URL"
LEVELS = ("WARNING", "INFO", "DEBUG")


def cost(client: Any, tasks: int, level: str) -> tuple[float, float]:
    """Return the CPU time of the child per task, us, and the tasks per second."""
    from bench_tasks import app, noop

    client.flushall()
    noop.enqueue_many([()] * tasks)
    totals = f"{app.settings.key_prefix}{{{app.settings.tags[0]}}}:totals"
    command = [sys.executable, "-m", "streamtasks_workers", "--app", "bench_tasks:app", "--concurrency", "1"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    with tempfile.TemporaryFile() as log:
        worker = subprocess.Popen([*command, "--log-level", level], env=environment, stderr=log)
        try:
            while not int(client.hget(totals, "SUCCESS") or 0):
                time.sleep(0.001)
            begun, first = time.perf_counter(), int(client.hget(totals, "SUCCESS"))
            child = next(one for one in psutil.Process(worker.pid).children() if one.name() == "st-child")
            before = child.cpu_times()
            while (done := int(client.hget(totals, "SUCCESS"))) < tasks:
                time.sleep(0.005)
            after, spent_s = child.cpu_times(), time.perf_counter() - begun
        finally:
            worker.terminate()
            worker.wait()
    cpu_s = after.user + after.system - before.user - before.system
    return cpu_s / (done - first) * 1e6, (done - first) / spent_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    server = EmbeddedServer()
    server.start()
    try:
        os.environ[URL_VARIABLE] = server.url
        client = redis.Redis.from_url(server.url, protocol=2, decode_responses=True)
        found: dict[str, list[tuple[float, float]]] = {level: [] for level in LEVELS}
        for _ in range(options.rounds):
            for level in LEVELS:
                found[level].append(cost(client, options.tasks, level))
    finally:
        server.stop()
    base_us, base_rate = (statistics.median(column) for column in zip(*found[LEVELS[0]], strict=True))
    for level, rounds in found.items():
        us, rate = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{level:8} {us:6.2f} us of the child's CPU a task (x{us / base_us:.3f}), "
              f"{rate:8,.0f} tasks/s (x{rate / base_rate:.3f})")  # fmt: skip


if __name__ == "__main__":
    main()
