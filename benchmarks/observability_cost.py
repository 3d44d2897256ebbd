"""Measure what logs, metrics and traces cost a child that drains no-op tasks, and its server: CPU time, and the rate.

``WARNING``: no line is written. ``INFO``, the default: 100 attempts a second have lines, the others are counted.
``DEBUG``: every attempt has two lines, as in Django. ``metrics``: INFO, and the metrics of the worker are scraped each
second. ``traced``: INFO with the OpenTelemetry middleware, one trace in a hundred is sampled (batch processor, an
exporter that keeps nothing). They take turns; the log goes to a file.

    uv run python benchmarks/observability_cost.py [--tasks 60000] [--rounds 3] [--only INFO,metrics]
"""

from __future__ import annotations

import argparse
import importlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import redis

from streamtasks_workers.testing.embedded import EmbeddedServer

sys.path.insert(0, str(Path(__file__).parent))
URL_VARIABLE = "STREAMTASKS_BENCHMARK_URL"
VARIANTS: dict[str, tuple[str, ...]] = {
    "WARNING": ("--app", "bench_tasks:app", "--log-level", "WARNING"),
    "INFO": ("--app", "bench_tasks:app"),
    "DEBUG": ("--app", "bench_tasks:app", "--log-level", "DEBUG"),
    "metrics": ("--app", "bench_tasks:app", "--metrics-port"),
    "traced": ("--app", "bench_traced:app"),
}
"""What is measured, and the options of its worker. Each but the first is compared with INFO."""
BASE = "INFO"


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def scrape(port: int, ended: threading.Event) -> None:
    """Read the metrics once a second."""
    while not ended.wait(1):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            answer.read()


def server_s(client: Any) -> float:
    """Return the CPU time that the server has used, seconds."""
    used = client.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


def cost(client: Any, tasks: int, variant: str) -> tuple[float, float, float]:
    """Return the CPU time of child and server per task, us, and the tasks per second."""
    module = importlib.import_module("bench_traced" if variant == "traced" else "bench_tasks")
    app, noop = module.app, module.noop
    client.flushall()
    noop.enqueue_many([()] * tasks)
    totals = f"{app.settings.key_prefix}{{{app.settings.tags[0]}}}:totals"
    options, port, ended = VARIANTS[variant], free_port(), threading.Event()
    if variant == "metrics":
        options = (*options, str(port))
    command = [sys.executable, "-m", "streamtasks_workers", *options, "--concurrency", "1"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    with tempfile.TemporaryFile() as log:
        worker = subprocess.Popen(command, env=environment, stderr=log)
        scraper = threading.Thread(target=scrape, args=(port, ended))
        try:
            while not int(client.hget(totals, "SUCCESS") or 0):
                time.sleep(0.001)
            if variant == "metrics":
                scraper.start()
            begun, first = time.perf_counter(), int(client.hget(totals, "SUCCESS"))
            child = next(one for one in psutil.Process(worker.pid).children() if one.name() == "st-child")
            before, served_s = child.cpu_times(), server_s(client)
            while (done := int(client.hget(totals, "SUCCESS"))) < tasks:
                time.sleep(0.005)
            after, spent_s = child.cpu_times(), time.perf_counter() - begun
            served_s = server_s(client) - served_s
        finally:
            ended.set()
            if scraper.ident:
                scraper.join()
            worker.terminate()
            worker.wait()
    cpu_s = after.user + after.system - before.user - before.system
    count = done - first
    return cpu_s / count * 1e6, served_s / count * 1e6, count / spent_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(VARIANTS), help="of %(default)s")
    options = parser.parse_args()
    variants = [BASE, *(name for name in options.only.split(",") if name != BASE)]
    server = EmbeddedServer()
    server.start()
    try:
        os.environ[URL_VARIABLE] = server.url
        client = redis.Redis.from_url(server.url, protocol=2, decode_responses=True)
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in variants}
        for _ in range(options.rounds):
            for name in variants:
                found[name].append(cost(client, options.tasks, name))
    finally:
        server.stop()
    base_us, base_server_us, base_rate = (statistics.median(column) for column in zip(*found[BASE], strict=True))
    for name, rounds in found.items():
        us, server_us, rate = (statistics.median(column) for column in zip(*rounds, strict=True))
        both = (base_us + base_server_us) / (us + server_us)
        print(
            f"{name:8} {us:6.2f} us of the child's CPU a task (x{us / base_us:.3f}), "
            f"{server_us:6.2f} us of the server's (x{server_us / base_server_us:.3f}), by both x{both:.3f}; "
            f"{rate:8,.0f} tasks/s (x{rate / base_rate:.3f})"
        )


if __name__ == "__main__":
    main()
