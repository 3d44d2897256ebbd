"""Measure how full children with threads and coroutines keep their places: tasks a second, of the ideal.

Each drain is measured from its first tenth to its ninth. ``--against`` measures another checkout in turns.
It takes two minutes, or four.

    uv run python benchmarks/executors.py [--rounds 3] [--against ../before]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import redis

HERE = Path(__file__).resolve().parent
URL_VARIABLE = "STREAMTASKS_BENCHMARK_URL"


class Case(NamedTuple):
    """A drain: its worker's options, task and arguments, how many tasks, and the ideal or target, tasks a second."""

    name: str
    options: str
    task: str
    args: tuple[Any, ...]
    tasks: int
    ideal: int


CASES = (
    Case("2 x 50 threads, 20 ms", "--concurrency 2 --threads 50", "nap", (0.02,), 15_000, 5_000),
    Case("1 x 100 coroutines, 20 ms", "--concurrency 1 --async-concurrency 100", "nap_on_loop", (0.02,), 15_000, 5_000),
    Case(
        "2 x 1,000 coroutines, 200 ms",
        "--concurrency 2 --async-concurrency 1000",
        "nap_on_loop",
        (0.2,),
        30_000,
        10_000,
    ),
    Case("2 x 8 threads, no-ops", "--concurrency 2 --threads 8", "noop", (), 40_000, 15_000),
)


def drain(case: Case, checkout: Path, url: str) -> tuple[float, float]:
    """Return tasks a second, and us of the worker's processor for a task."""
    import bench_tasks

    client = redis.Redis.from_url(url)
    client.flushall()
    bench_tasks.app.store.agree()  # type: ignore[attr-defined]
    getattr(bench_tasks, case.task).enqueue_many([case.args] * case.tasks)
    settings = bench_tasks.app.settings
    totals = f"{settings.key_prefix}{{{settings.tags[0]}}}:totals"

    def wait_for(count: int) -> int:
        while (done := int(client.hget(totals, "SUCCESS") or 0)) < count:
            time.sleep(0.002)
        return done

    sources = [HERE, checkout, checkout / "workers", checkout / "lua", checkout / "django_backend"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, sources))}
    command = [sys.executable, "-m", "streamtasks_workers", "--app", "bench_tasks:app", "--log-level", "ERROR"]
    worker = psutil.Popen([*command, *case.options.split()], env=environment)
    try:
        first = wait_for(case.tasks // 10)
        family = [worker, *worker.children(recursive=True)]
        begun, spent = time.perf_counter(), cpu_s(family)
        ran = wait_for(case.tasks * 9 // 10) - first
        return ran / (time.perf_counter() - begun), (cpu_s(family) - spent) / ran * 1e6
    finally:
        worker.terminate()
        worker.wait(60)


def cpu_s(family: list[psutil.Process]) -> float:
    """Return the processor time of processes, seconds."""
    return sum(sum(one.cpu_times()[:2]) for one in family)


def main() -> None:
    """Measure and print."""
    from streamtasks_workers.testing.embedded import EmbeddedServer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path)
    options = parser.parse_args()
    checkouts = {"here": HERE.parent} | ({"against": options.against.resolve()} if options.against else {})
    with EmbeddedServer() as server:
        os.environ[URL_VARIABLE] = server.url
        for case in CASES:
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in checkouts}
            for turn in range(options.rounds):
                for name in list(checkouts)[:: 1 if turn % 2 else -1]:
                    found[name].append(drain(case, checkouts[name], server.url))
            for name, rounds in found.items():
                per_s, cpu_us = (statistics.median(figure) for figure in zip(*rounds, strict=True))
                share = f"{per_s / case.ideal:.2f} of {case.ideal:,}"
                print(f"{case.name:30} {name:8} {per_s:7,.0f}/s  {share}  worker {cpu_us:.0f} us", flush=True)


if __name__ == "__main__":
    main()
