"""Measure what a task costs a server, in processor time and memory, and compute from it what masters carry.

The time is that of the main thread, of which a server has one: the change of ``used_cpu_*_main_thread``
over thousands of tasks. Tasks do nothing, take one argument of so many bytes, and their
results are stored. The server writes its append-only file, as in production.

    uv run python benchmarks/sizing.py [--tasks 20000] [--rounds 3] [--bytes 200] [--server redis-server]
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

sys.path.insert(0, str(Path(__file__).parent))
URL_VARIABLE = "STREAMTASKS_BENCHMARK_URL"
MASTERS = (1, 3, 10, 100)
SHARE = 0.6
"""Of a processor, what a master is given to do on average: the rest is for peaks, failovers and snapshots."""


def server_us(client: redis.Redis, work: Callable[[], Any], tasks: int) -> float:
    """Return the us of the server's main thread for each task of some work."""
    began = _main_thread_us(client)
    work()
    return (_main_thread_us(client) - began) / tasks


def _main_thread_us(client: redis.Redis) -> float:
    info: Any = client.info("cpu")
    return float(info["used_cpu_user_main_thread"] + info["used_cpu_sys_main_thread"]) * 1e6


def _memory(client: redis.Redis) -> int:
    info: Any = client.info("memory")
    return int(info["used_memory"])


def _empty(client: redis.Redis) -> None:
    client.execute_command("FLUSHALL", "SYNC")  # what is freed later would still count


def run_all(client: redis.Redis, tasks: int, children: int) -> None:
    """Let a worker run everything that is queued."""
    from bench_tasks import app

    totals = f"{app.settings.key_prefix}{{{app.settings.tags[0]}}}:totals"
    command = [sys.executable, "-m", "streamtasks_workers", "--app", "bench_tasks:app", "--concurrency", str(children)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    worker = subprocess.Popen([*command, "--log-level", "WARNING"], env=environment)
    try:
        while int(client.hget(totals, "SUCCESS") or 0) < tasks:
            time.sleep(0.05)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait()


def measure(client: redis.Redis, tasks: int, size: int) -> dict[str, float]:
    """Return what one task costs: us of the server by step, and bytes of its memory."""
    from bench_tasks import take

    _empty(client)
    text = "x" * size
    empty = _memory(client)
    found = {"enqueue, many in one call": server_us(client, lambda: take.enqueue_many([(text,)] * tasks), tasks)}
    found["bytes of a queued task"] = (_memory(client) - empty) / tasks
    found["claim, run, store the result"] = server_us(client, lambda: run_all(client, tasks, 2), tasks)
    found["bytes of a finished task"] = (_memory(client) - empty) / tasks
    _empty(client)
    few = tasks // 4
    found["enqueue, one in a call"] = server_us(client, lambda: [take.enqueue(text) for _ in range(few)], few)
    return found


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bytes", type=int, default=200)
    parser.add_argument("--server", help="a redis-server or valkey-server binary; default: the embedded one")
    given = parser.parse_args()
    from streamtasks_workers.testing.embedded import EmbeddedServer

    persistent = ["--appendonly", "yes", "--appendfsync", "everysec"]
    rows: dict[str, list[float]] = {}
    with EmbeddedServer(binary=given.server, extra_args=persistent) as server:
        os.environ[URL_VARIABLE] = server.url
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            for _ in range(given.rounds):
                for name, value in measure(client, given.tasks, given.bytes).items():
                    rows.setdefault(name, []).append(value)
    least = {name: min(values) for name, values in rows.items()}  # what else the machine does only adds
    print("| of one task | least | of |\n|---|---|---|")
    for name, values in sorted(rows.items()):
        unit = "bytes" if name.startswith("bytes") else "us"
        print(f"| {name} | {least[name]:,.1f} {unit} | {', '.join(f'{value:,.1f}' for value in values)} |")
    print("\n| masters | tasks a second, enqueued one by one | many in one call |\n|---|---|---|")
    run_us = least["claim, run, store the result"]
    for masters in MASTERS:
        each = [run_us + least[how] for how in ("enqueue, one in a call", "enqueue, many in one call")]
        print(f"| {masters} | " + " | ".join(f"{masters * SHARE * 1e6 / us:,.0f}" for us in each) + " |")


if __name__ == "__main__":
    main()
