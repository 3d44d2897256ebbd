"""Measure times: starts, visibility, recovery, delays, idle traffic and stopping, as one table.

    uv run python benchmarks/figures.py [--server redis-server] [--only recovery,idle]

Each part starts real workers on a server of its own and is bounded in time; all of them take about three minutes. Run
it on a machine that does nothing else. A figure is *met* if it is within the bound of the column "asked". The exit
status is 1 if one is not met.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import redis

sys.path.insert(0, str(Path(__file__).parent.parent))

from streamtasks import wait_for
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.process.test_executors import EXECUTORS
from tests.support.fleet import Fleet
from tests.support.measurements import (
    MS,
    idle_commands,
    lateness,
    new_stream_delays,
    occurrence_lateness,
    percentile,
    start_delays,
    use_many_streams,
    visibility,
)
from tests.support.waiting import wait_until
from tests.support.worker_process import kill


class Row(NamedTuple):
    """One line of the table: smaller is better."""

    what: str
    measured: float
    asked: float
    unit: str
    detail: str = ""


@contextmanager
def fleet_on(server: EmbeddedServer, **settings: Any) -> Iterator[Fleet]:
    """Open an empty fleet: an app on the emptied server, and the workers that a part starts."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    with tempfile.TemporaryDirectory(prefix="streamtasks-figures-") as directory:
        fleet = Fleet(server.url, Path(directory))
        fleet.configure(**settings)
        try:
            yield fleet
        finally:
            fleet.close()


def start_latency(server: EmbeddedServer) -> list[Row]:
    """Measure the time from enqueueing to the start on an idle worker."""
    with fleet_on(server) as fleet:
        fleet.start("--concurrency", "2")
        delays = start_delays(fleet, 300)
    return [
        Row("enqueue to start, idle worker, p50", percentile(delays, 0.5), 2, "ms"),
        Row("enqueue to start, idle worker, p99", percentile(delays, 0.99), 0, "ms"),
    ]


def visible(server: EmbeddedServer) -> list[Row]:
    """Measure when RUNNING is visible and when messages behind a long task run elsewhere, for each executor."""
    rows = []
    for executor, options in EXECUTORS.items():
        for name, words in (("nap", executor), ("hold_gil", f"{executor}, GIL held")):
            with fleet_on(server) as fleet:
                fleet.start("--concurrency", "2", *options)
                fleet.wait_idle(2)
                measured = [visibility(fleet, name, 0.4) for _ in range(10)]
            for what, values, asked in (
                ("RUNNING visible", [one.shown for one in measured], 50),
                ("neighbours elsewhere", [one.others for one in measured], 30),
            ):
                middle = percentile(values, 0.5)
                rows.append(Row(f"{what}, {words}, p50", middle, asked, "ms", f"max {max(values):.0f}"))
    return rows


def recovery(server: EmbeddedServer) -> list[Row]:
    """Measure the recovery of killed children, workers and keepers."""
    child = []
    with fleet_on(server, crash_limit=1000, crash_delay_s=0.0) as fleet:
        fleet.start("--concurrency", "2")
        for _ in range(20):
            result = fleet.enqueue("nap", 0.1)
            victim = fleet.record.wait_started(result).pid
            killed = time.monotonic()
            kill(victim)
            child.append(MS * (fleet.record.wait_started(result, times=2).started - killed))
            result.get(timeout=5)
    worker = []
    lease_s = 2.0
    with fleet_on(server, lease_s=lease_s) as fleet:
        fleet.start("--concurrency", "1")
        blocked = fleet.enqueue("nap", 4.0)
        fleet.record.wait_started(blocked)
        dying = fleet.start("--concurrency", "1")
        result = fleet.enqueue("nap", 20.0)
        fleet.record.wait_started(result)
        blocked.get(timeout=10)
        killed = time.monotonic()
        kill(dying.process.pid)
        worker.append(fleet.record.wait_started(result, times=2).started - killed)
    keeper = []
    with fleet_on(server) as fleet:
        one = fleet.start("--concurrency", "1")
        for _ in range(5):
            old = wait_until(lambda: one.pids().keeper or 0, "a keeper")
            killed = time.monotonic()
            kill(old)
            wait_until(lambda: one.pids().keeper not in (None, old), "another keeper")  # noqa: B023
            keeper.append(MS * (time.monotonic() - killed))
    return [
        Row("task of a killed child runs again, p50", percentile(child, 0.5), 0, "ms"),
        Row("task of a killed child runs again, max of 20", max(child), 1000, "ms"),
        Row(f"task of a killed worker runs again (lease {lease_s:g} s)", max(worker), lease_s + 5, "s"),
        Row("a killed keeper is replaced, max of 5", max(keeper), 0, "ms"),
    ]


def delayed(server: EmbeddedServer) -> list[Row]:
    """Measure how late delayed tasks start, four and seventy a second."""
    rows = []
    for per_s, count, asked in ((4, 100, 3), (70, 700, 5)):
        with fleet_on(server) as fleet:
            fleet.start("--concurrency", "2")
            fleet.wait_idle(2)
            late = lateness(fleet, count, 1 / per_s)
        about = f"earliest {min(late):+.1f}, latest {max(late):+.1f}"
        what = f"delayed task late, {per_s} a second"
        rows += [
            Row(f"{what}, p50", percentile(late, 0.5), 0, "ms"),
            Row(f"{what}, p99", percentile(late, 0.99), asked, "ms", about),
        ]
    return rows


def scheduled(server: EmbeddedServer) -> list[Row]:
    """Measure how late the occurrences of a schedule start, four a second."""
    with fleet_on(server) as fleet:
        fleet.start("--concurrency", "2")
        fleet.wait_idle(2)
        late = occurrence_lateness(fleet, 100)
    about = f"earliest {min(late):+.1f}, latest {max(late):+.1f}"
    return [
        Row("occurrence of a schedule late, p50 of 100", percentile(late, 0.5), 0, "ms"),
        Row("occurrence of a schedule late, p99 of 100", percentile(late, 0.99), 10, "ms", about),
    ]


def idle(server: EmbeddedServer) -> list[Row]:
    """Measure the commands of idle children, and the start of the first task of a new queue."""
    children = 8
    with fleet_on(server) as fleet:
        fleet.start("--concurrency", str(children))
        use_many_streams(fleet)
        fleet.wait_idle(children)
        sent, inside = idle_commands(fleet)
        delays = new_stream_delays(fleet, 50, children)
    return [
        Row("commands/s per idle child (600 streams)", sent / children, 2, "/s", f"{inside:.1f}/s more inside scripts"),
        Row("brand-new queue or priority starts, p50", percentile(delays, 0.5), 5, "ms", f"max {max(delays):.1f}"),
    ]


def stopping(server: EmbeddedServer) -> list[Row]:
    """Measure a stop by SIGTERM under load."""
    with fleet_on(server) as fleet:
        leaving = fleet.start("--concurrency", "2", "--grace", "10")
        staying = fleet.start("--concurrency", "1")
        results = fleet.many("nap", [(0.002,)] * 1500)
        wait_until(lambda: fleet.totals().get("SUCCESS", 0) > 150, "work is under way")
        told = time.monotonic()
        leaving.terminate()
        status = leaving.wait(15)
        stopped = time.monotonic() - told
        wait_for(results, timeout=30)
        executions = fleet.record.executions()
        elsewhere = staying.pids().children
        starts = sorted(e.started for e in executions if e.pid in elsewhere and e.started > told)
        gap = max(b - a for a, b in itertools.pairwise([told, *starts]))
        extra = len(executions) - len(results)
    return [
        Row("SIGTERM under load: exits after", MS * stopped, 10_000, "ms", f"status {status}"),
        Row("SIGTERM: longest gap before work starts elsewhere", MS * gap, 1000, "ms"),
        Row("SIGTERM: executions too many", extra, 0.5, ""),
    ]


PARTS: dict[str, Callable[[EmbeddedServer], list[Row]]] = {
    "latency": start_latency,
    "visibility": visible,
    "recovery": recovery,
    "delayed": delayed,
    "scheduled": scheduled,
    "idle": idle,
    "stopping": stopping,
}


def main() -> int:
    """Measure and print; return 1 if a figure is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="a redis-server or valkey-server binary; default: the embedded one")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of: {', '.join(PARTS)}")
    given = parser.parse_args()
    rows: list[Row] = []
    for part in given.only.split(","):
        with EmbeddedServer(binary=given.server) as server:
            print(f"measuring: {part}", file=sys.stderr)
            rows += PARTS[part](server)
    print(f"{'figure':54} {'measured':>12} {'asked':>12}")
    for row in rows:
        asked = f"<= {row.asked:g} {row.unit}" if row.asked else "-"
        verdict = "" if not row.asked else "met" if row.measured <= row.asked else "NOT MET"
        print(f"{row.what:54} {row.measured:9.2f} {row.unit:2} {asked:>12}  {verdict:8} {row.detail}".rstrip())
    return int(any(row.asked and row.measured > row.asked for row in rows))


if __name__ == "__main__":
    sys.exit(main())
