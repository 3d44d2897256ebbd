"""Measure how long the command line takes to show its help, how soon a worker runs tasks, and what memory it takes.

Each is the median of some starts. A worker has two children; memory is the proportional set size (Linux), in which
pages that processes share count once. ``--against`` measures the sources of another checkout in turns with these.

    uv run python benchmarks/startup.py [--starts 5] [--against ../before]

Where the time goes: ``python -X importtime .venv/bin/streamtasks --help``.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
URL_VARIABLE = "STREAMTASKS_BENCHMARK_URL"
ASKED_S = 0.3
PROCESSES = ("st-supervisor", "st-keeper", "st-child")
COMMANDS = (
    "streamtasks --help",
    "streamtasks worker --help",
    "streamtasks schedules --help",
    "streamtasks demo --help",
    "streamtasks-worker --help",
)


def start_s(words: list[str]) -> float:
    """Return the seconds from the start of a command to its end."""
    began = time.perf_counter()
    subprocess.run([Path(sys.executable).parent / words[0], *words[1:]], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def worker_figures(checkout: Path) -> dict[str, float]:
    """Start a worker of a checkout, for which a task waits, and stop it when that has run; return what was measured."""
    from bench_tasks import take

    sources = [HERE, checkout, checkout / "workers", checkout / "lua", checkout / "django_backend"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, sources))}
    command = [sys.executable, "-m", "streamtasks_workers", "--app", "bench_tasks:app", "--concurrency", "2"]
    result = take.enqueue("x")
    began = time.perf_counter()
    worker = subprocess.Popen([*command, "--log-level", "ERROR"], env=environment)
    try:
        result.get(timeout=60)
        started = time.perf_counter()
        time.sleep(1.0)  # all processes are idle
        tree = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children()]
        by_name = {name: [one.memory_full_info().pss / 1e6 for one in tree if one.name() == name] for name in PROCESSES}
    finally:
        stopping = time.perf_counter()
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
    figures = {"first task after, s": started - began, "stopped after, s": time.perf_counter() - stopping}
    figures |= {f"{name}, MB": statistics.mean(each) for name, each in by_name.items() if each}
    return figures | {"all processes, MB": sum(sum(each) for each in by_name.values())}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--against", type=Path, help="another checkout, for the worker")
    given = parser.parse_args()
    print(f"{'command':32} {'median':>8} {'worst':>8} {'asked':>8}")
    for command in COMMANDS:
        times = [start_s(command.split()) for _ in range(given.starts)]
        print(f"{command:32} {statistics.median(times):6.3f} s {max(times):6.3f} s {ASKED_S:6.3f} s")
    checkouts = [HERE.parent, *([given.against.resolve()] if given.against else [])]
    found: list[dict[str, list[float]]] = [{} for _ in checkouts]
    from streamtasks_workers.testing.embedded import EmbeddedServer

    with EmbeddedServer() as server:
        os.environ[URL_VARIABLE] = server.url
        for _ in range(given.starts):
            for checkout, figures in zip(checkouts, found, strict=True):
                for name, value in worker_figures(checkout).items():
                    figures.setdefault(name, []).append(value)
    print(f"\n{'worker':32} " + " ".join(f"{checkout.name:>10}" for checkout in checkouts))
    for name in found[0]:
        print(f"{name:32} " + " ".join(f"{statistics.median(figures[name]):10.3f}" for figures in found))


if __name__ == "__main__":
    main()
