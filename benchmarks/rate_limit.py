"""Measure how exactly rate limits hold and what they cost, on real workers, by the starts that task bodies note.

    uv run python benchmarks/rate_limit.py [--server redis-server] [--tasks 300] [--rate 10/s] [--children 4]

It prints one line per situation: the most starts in any 1.0 s, how long all took against the ideal, and how late
tasks without a limit started beside them. In the last situation a worker is killed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from bisect import bisect_left
from itertools import pairwise
from pathlib import Path

import redis

sys.path.insert(0, str(Path(__file__).parent.parent))

from streamtasks.tasks.rate_limit import interval_us
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.fleet import Fleet
from tests.support.measurements import percentile
from tests.support.worker_process import kill

MS = 1000.0


def most_in_a_second(times: list[float]) -> int:
    """Return the most starts in any half-open second."""
    return max(bisect_left(times, one + 1.0) - place for place, one in enumerate(times))


def measure(server: EmbeddedServer, given: argparse.Namespace, what: str, workers: int, *, deadly: bool) -> None:
    """Run one situation and print its line."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    interval_s = interval_us(given.rate) / 1e6
    with tempfile.TemporaryDirectory(prefix="streamtasks-rate-") as directory:
        fleet = Fleet(server.url, Path(directory))
        fleet.configure(lease_s=2.0)
        try:
            started = [fleet.start("--concurrency", str(given.children // workers)) for _ in range(workers)]
            fleet.wait_idle(given.children)
            limited = {r.id for r in fleet.many("add", [(n, 1) for n in range(given.tasks)], rate_limit=given.rate)}
            delays: list[float] = []
            killed = False
            while fleet.unfinished():
                enqueued = time.monotonic()
                free = fleet.enqueue("aadd", 1, 1)
                delays.append(fleet.record.wait_started(free).started - enqueued)
                if deadly and not killed and fleet.totals().get("SUCCESS", 0) > given.tasks:
                    killed = True
                    for pid in started[0].all_pids():
                        kill(pid)
                time.sleep(0.05)
            times = sorted(e.started for e in fleet.record.executions() if e.id in limited)
        finally:
            fleet.close()
    took, ideal = times[-1] - times[0], (len(times) - 1) * interval_s
    gaps = [other - one for one, other in pairwise(times)]
    print(
        f"{what:38} {len(times)} starts; most in 1.0 s: {most_in_a_second(times)}; {took:.3f} s, ideal {ideal:.3f} s "
        f"({took / ideal - 1:+.2%}); gap p1 {percentile(gaps, 0.01) * MS:.1f}, p50 {percentile(gaps, 0.5) * MS:.1f}, "
        f"max {max(gaps) * MS:.1f} ms; unlimited start after p50 {percentile(delays, 0.5) * MS:.1f}, "
        f"p99 {percentile(delays, 0.99) * MS:.1f} ms"
    )


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument("--rate", default="10/s")
    parser.add_argument("--children", type=int, default=4)
    parser.add_argument("--server", help="a redis-server or valkey-server binary; default: the embedded one")
    given = parser.parse_args()
    with EmbeddedServer(binary=given.server) as server:
        measure(server, given, "one worker", 1, deadly=False)
        measure(server, given, "two workers", 2, deadly=False)
        measure(server, given, "two workers, one killed half-way", 2, deadly=True)


if __name__ == "__main__":
    main()
