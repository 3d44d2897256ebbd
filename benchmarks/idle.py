"""Measure what an idle worker with two children costs, with and without Django: calls, processor time and memory.

Each has run a task before. Calls are those that its processes send to the server, beside the commands inside scripts;
memory is the proportional set size of all processes (Linux), in which pages that they share count once.

    uv run python benchmarks/idle.py [--seconds 20] [--server redis-server]

The exit status is 1 if a figure is not within its bound.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import redis

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
URL_VARIABLE = "STREAMTASKS_BENCHMARK_URL"
CALLS_PER_S, CPU_MS_PER_S, DJANGO_MB = 2.0, 5.0, 100.0
WORKERS = {
    "plain": ("--app", "bench_tasks:app"),
    "Django": ("--settings", "bench_django"),
}
SETTLED_S = 15.0
"""After a task a worker is idle for so long before it is measured, seconds."""


def run_one(name: str) -> None:
    """Run a task, in a process of its own: Django can be set up only once."""
    enqueue = {
        "plain": "from bench_tasks import noop",
        "Django": "import django; django.setup(); from bench_django_tasks import noop",
    }[name]
    subprocess.run(
        [sys.executable, "-c", f"{enqueue}; noop.enqueue().get(timeout=60)"],
        check=True,
        env=os.environ | {"PYTHONPATH": str(HERE), "DJANGO_SETTINGS_MODULE": "bench_django"},
    )


def measure(name: str, client: Any, seconds: float) -> tuple[float, float, float]:
    """Return calls a second, ms of processor time a second, and MB of an idle worker."""
    from tests.support.measurements import calls_of

    client.flushall()
    command = [sys.executable, "-m", "streamtasks_workers", *WORKERS[name], "--concurrency", "2"]
    worker = psutil.Popen([*command, "--log-level", "WARNING"], env=os.environ | {"PYTHONPATH": str(HERE)})
    try:
        run_one(name)
        time.sleep(SETTLED_S)
        family = [worker, *worker.children(recursive=True)]
        calls, cpu_s, began = calls_of(client).sent, _cpu_s(family), time.perf_counter()
        time.sleep(seconds)
        spent_s = time.perf_counter() - began
        cpu_s, calls = _cpu_s(family) - cpu_s, calls_of(client).sent - calls
        return calls / spent_s, cpu_s * 1e3 / spent_s, sum(one.memory_full_info().pss for one in family) / 1e6
    finally:
        worker.terminate()
        worker.wait(60)


def _cpu_s(processes: list[psutil.Process]) -> float:
    # The scheduler counts in ns; the times that psutil shows are in ticks of 10 ms.
    return (
        sum(
            int(Path(f"/proc/{one.pid}/task/{thread.id}/schedstat").read_text().split()[0])
            for one in processes
            for thread in one.threads()
        )
        / 1e9
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--server", help="a redis-server or valkey-server binary; default: the embedded one")
    given = parser.parse_args()
    from streamtasks_workers.testing.embedded import EmbeddedServer

    met = True
    with EmbeddedServer(binary=given.server) as server:
        os.environ[URL_VARIABLE] = server.url
        client = redis.Redis.from_url(server.url)
        for name in WORKERS:
            calls, cpu_ms, memory_mb = measure(name, client, given.seconds)
            asked = f"asked {CALLS_PER_S:g}, {CPU_MS_PER_S:g}" + (f", {DJANGO_MB:g}" if name == "Django" else "")
            print(f"{name:8} {calls:.2f} calls/s, {cpu_ms:.1f} ms of processor time/s, {memory_mb:.0f} MB ({asked})")
            met &= calls <= CALLS_PER_S and cpu_ms <= CPU_MS_PER_S and (name == "plain" or memory_mb <= DJANGO_MB)
    sys.exit(not met)


if __name__ == "__main__":
    main()
