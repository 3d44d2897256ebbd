"""Show where a child's processor time for a no-op task goes, without Django and with it (logger at INFO, at WARNING).

A child that drains tasks is interrupted by a timer of its processor time; each sample counts for the function that ran,
and functions make parts. The times are shares of the processor time for a task, which was measured without the timer;
both are the median of some rounds, in turns.

    uv run python benchmarks/child_profile.py [--tasks 100000] [--rounds 3] [--functions 0] [--server redis-server]

``--functions 20`` names as many functions as well.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import redis

HERE = Path(__file__).resolve().parent
URL_VARIABLE = "STREAMTASKS_BENCHMARK_URL"
DJANGO = ("--settings", "bench_django")


class Variant(NamedTuple):
    """How a worker is started, without samples and with them, and how its tasks are enqueued."""

    options: tuple[str, ...]
    sampled: tuple[str, ...]
    environment: dict[str, str]
    module: str


VARIANTS = {
    "plain": Variant(
        ("--app", "bench_tasks:app", "--log-level", "WARNING"),
        ("--app", "bench_sampled:app", "--log-level", "WARNING"),
        {},
        "bench_tasks",
    ),
    "Django, INFO": Variant(DJANGO, DJANGO, {"STREAMTASKS_BENCHMARK_LOG": "INFO"}, "bench_django_tasks"),
    "Django, WARNING": Variant(DJANGO, DJANGO, {"STREAMTASKS_BENCHMARK_LOG": "WARNING"}, "bench_django_tasks"),
}

PARTS: dict[str, tuple[str, ...]] = {
    "send and receive": ("redis.", "streamtasks.stores.redis.conversation", "streamtasks.stores.redis.channel"),
    "make calls, read replies": ("streamtasks.stores.",),
    "wait": ("streamtasks_workers.process.lifeline", "streamtasks_workers.process.ready"),
    "board": ("streamtasks_workers.process.board", "streamtasks_workers.process.boot_clock"),
    "count for metrics and charts": (
        "streamtasks_workers.process.count",
        "streamtasks_workers.executor.attempt_counts",
    ),
    "restore the process": ("streamtasks_workers.process.",),
    "log": ("logging", "streamtasks_workers.executor.attempt_log"),
    "read the message": (
        "streamtasks.protocol.",
        "streamtasks_workers.executor.runner:Runner.prepare",
        "streamtasks_workers.executor.prepared",
    ),
    "outcome": (
        "streamtasks_workers.executor.outcomes",
        "streamtasks_workers.executor.runner:Runner._success",
        "streamtasks.stores.types",
    ),
    "loop of the child": ("streamtasks_workers.executor.inline", "streamtasks_workers.executor.link"),
    "the task": ("bench",),
    "run the attempt": ("streamtasks_workers.executor.", "streamtasks."),
    "Django's backend: signals": ("streamtasks_django.worker.signals", "streamtasks_django.enqueue.signal"),
    "Django's backend: databases": ("streamtasks_django.worker.databases",),
    "Django's backend: the rest": ("streamtasks_django.",),
    "Django": ("django.",),
}


def part_of(place: str) -> str:
    """Return the part with the longest beginning of a function's name."""
    found = [(len(one), part) for part, names in PARTS.items() for one in names if place.startswith(one)]
    return max(found)[1] if found else "other"


def drain(variant: Variant, tasks: int, url: str, samples: Path | None) -> tuple[float, Counter[str]]:
    """Return the us of the child's processor for a task, and how often each function was seen."""
    client: Any = redis.Redis.from_url(url)
    client.flushall()
    environment = os.environ | variant.environment | {"PYTHONPATH": str(HERE), "DJANGO_SETTINGS_MODULE": "bench_django"}
    setup = "import django; django.setup(); " if variant.options is DJANGO else ""
    many = (
        "from django.tasks import default_task_backend as b; b.enqueue_many([(noop, (), {})] * N)"
        if setup
        else "noop.enqueue_many([()] * N)"
    )
    code = f"{setup}from {variant.module} import noop; N = {tasks}; {many}"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    options = variant.options
    if samples is not None:
        options = variant.sampled
        environment |= {"STREAMTASKS_BENCHMARK_SAMPLES": str(samples)}
        environment |= {"STREAMTASKS_BENCHMARK_MIDDLEWARE": "bench_sampled.Sampler"}
    command = [sys.executable, "-m", "streamtasks_workers", *options, "--concurrency", "1"]
    with tempfile.TemporaryFile() as log:
        worker = psutil.Popen(command, env=environment, stderr=log)
        try:
            first = wait_for(client, tasks // 10)
            child = next(one for one in worker.children() if one.name() == "st-child")
            before = sum(child.cpu_times()[:2])
            ran = wait_for(client, tasks * 9 // 10) - first
            spent_s = sum(child.cpu_times()[:2]) - before
            wait_for(client, tasks)
        finally:
            worker.terminate()
            worker.wait(60)
    seen = Counter(json.loads(samples.read_text())) if samples is not None else Counter()
    return spent_s / ran * 1e6, seen


def wait_for(client: Any, count: int) -> int:
    """Wait until so many tasks have ended; return how many have."""
    while not (found := client.keys("*:totals")) or (done := int(client.hget(found[0], "SUCCESS") or 0)) < count:
        time.sleep(0.005)
    return done


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--functions", type=int, default=0)
    parser.add_argument("--server", help="a redis-server or valkey-server binary; default: the embedded one")
    given = parser.parse_args()
    from streamtasks_workers.testing.embedded import EmbeddedServer

    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    seen: dict[str, Counter[str]] = {name: Counter() for name in VARIANTS}
    with EmbeddedServer(binary=given.server) as server, tempfile.TemporaryDirectory() as directory:
        os.environ[URL_VARIABLE] = server.url
        for _ in range(given.rounds):
            for name, variant in VARIANTS.items():
                times[name].append(drain(variant, given.tasks, server.url, None)[0])
                seen[name] += drain(variant, given.tasks, server.url, Path(directory, "samples"))[1]
    print("| us of a child's processor for a task | " + " | ".join(VARIANTS) + " |")
    print("| --- |" + " --- |" * len(VARIANTS))
    shown = {name: statistics.median(each) for name, each in times.items()}
    row("**all**", list(shown.values()))
    parts = {name: Counter[str]() for name in VARIANTS}
    for name, counter in seen.items():
        for place, count in counter.items():
            parts[name][part_of(place)] += count
    for part in [*PARTS, "other"]:
        row(part, [shown[name] * parts[name][part] / parts[name].total() for name in VARIANTS])
    for name, counter in seen.items() if given.functions else ():
        print(f"\n{name}")
        for place, count in counter.most_common(given.functions):
            print(f"{shown[name] * count / counter.total():6.2f} us  {place}")


def row(name: str, values: list[float]) -> None:
    """Print a row, unless there is nothing in it."""
    if any(value >= 0.05 for value in values):
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in values) + " |")


if __name__ == "__main__":
    main()
