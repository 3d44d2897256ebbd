"""Measure workflows of no-op tasks, from the call that enqueues them until all of them are finished.

    uv run python benchmarks/workflows.py [--rounds 3] [--children 2] [--server redis-server] [--undisturbed]

It also prints the longest time that each script occupied the server (by its slow log), and the memory that a finished
workflow leaves.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import redis

sys.path.insert(0, str(Path(__file__).parent))
URL_VARIABLE = "STREAMTASKS_BENCHMARK_URL"
SLOW_US = 1_000
LARGE = 10_000


def cases() -> dict[str, Callable[[], Any]]:
    """Return functions by name; each starts a workflow and returns its result."""
    from bench_tasks import after, count, fail, kilobyte, noop

    from streamtasks import chain, chord, group

    def failing() -> Any:
        header = [kilobyte.s() for _ in range(LARGE)]
        header[LARGE // 2] = fail.s()
        return chord(header, count.s(), fail_fast=True).apply_async()

    def revoked() -> Any:
        result = chord([kilobyte.s() for _ in range(LARGE)], count.s()).apply_async()
        result.workflow.revoke()
        return result

    return {
        "chord of 1,000": partial(chord(group(noop.s() for _ in range(1_000))), count.s()),
        "chord of 10,000": partial(chord(group(noop.s() for _ in range(10_000))), count.s()),
        "chain of 100": chain([after.s() for _ in range(100)]).apply_async,
        "group of 100 after 100": (
            group(after.s() for _ in range(100)) | group(after.s() for _ in range(100)) | count.s()
        ).apply_async,
        "chord of 3": partial(chord([noop.s() for _ in range(3)]), count.s()),
        "10,000 of 1 KB": partial(chord(group(kilobyte.s() for _ in range(LARGE))), count.s()),
        "5,000 chains of 2, 1 KB": partial(
            chord(group(chain(kilobyte.s(), kilobyte.s()) for _ in range(LARGE // 2))), count.s()
        ),
        "10,000, one fails fast": failing,
        "10,000, revoked": revoked,
    }


def finish(result: Any) -> None:
    """Wait until every task of a workflow is finished, whatever the outcomes."""
    while not result.workflow.ready():
        time.sleep(0.005)


def slow_calls(client: Any) -> str:
    """Return which scripts took longer than `SLOW_US`, with the longest time in ms and how often; clear the log."""
    import streamtasks_lua
    from streamtasks.stores.redis.scripts import script

    names = {script(name).sha: name for name in streamtasks_lua.names()}
    found: dict[str, list[float]] = {}
    for entry in client.slowlog_get(1000):
        command = entry["command"]
        words = (command if isinstance(command, str) else command.decode()).split(" ")
        found.setdefault(names.get(words[1], words[0]), []).append(entry["duration"] / 1000)
    client.slowlog_reset()
    return ", ".join(f"{name} {max(ms):.1f} ms ({len(ms)})" for name, ms in sorted(found.items())) or "none"


def main() -> None:
    """Run all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--children", type=int, default=2)
    parser.add_argument("--server", help="a redis-server or valkey-server binary; default: the embedded one")
    parser.add_argument(
        "--undisturbed",
        action="store_true",
        help="give the server a real-time priority (as root, on Linux), so that others do not slow its scripts",
    )
    given = parser.parse_args()
    from streamtasks_workers.testing.embedded import EmbeddedServer

    with EmbeddedServer(binary=given.server) as server:
        os.environ[URL_VARIABLE] = server.url
        client = redis.Redis.from_url(server.url, protocol=2, decode_responses=True)
        if given.undisturbed:
            server_pid = int(client.info("server")["process_id"])
            os.sched_setscheduler(server_pid, os.SCHED_FIFO, os.sched_param(1))
        client.config_set("slowlog-log-slower-than", SLOW_US)
        client.config_set("slowlog-max-len", 1000)
        command = [sys.executable, "-m", "streamtasks_workers", "--app", "bench_tasks:app"]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
        worker = subprocess.Popen(
            [*command, "--concurrency", str(given.children), "--log-level", "WARNING"], env=environment
        )
        try:
            measured = cases()
            measured["chord of 3"]().get(timeout=30)
            client.slowlog_reset()
            for name, start in measured.items():
                times, enqueued = [], []
                for _ in range(given.rounds):
                    before = client.info("memory")["used_memory"]
                    begun = time.perf_counter()
                    result = start()
                    enqueued.append(time.perf_counter() - begun)
                    finish(result)
                    times.append(time.perf_counter() - begun)
                    kept = client.info("memory")["used_memory"] - before
                print(
                    f"{name:24} median {statistics.median(times):7.3f} s, of it enqueueing "
                    f"{statistics.median(enqueued):7.3f} s   of {', '.join(f'{t:.3f}' for t in times)}; "
                    f"leaves {kept / 1e6:.2f} MB; slow calls: {slow_calls(client)}"
                )
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait()


if __name__ == "__main__":
    main()
