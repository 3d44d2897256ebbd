"""Measure what the mirror of results costs a drain, and for how long clean-up holds locks.

    uv run python benchmarks/mirror.py [--tasks 240000] [--rounds 3] [--database '{"ENGINE": ...}']

Rounds with and without ``result_model`` alternate on one server: empty tasks are enqueued, then a worker with two
children runs them. The rate is that of the last seven tenths, so that the start of processes does not count; so many
tasks take four seconds or more, and the process that copies needs one to start. Then it says how long the copying
took after that, and how long the slowest of the statements took that delete 100,000 rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.result_project import ResultProject

EMPTY: Final = """
from streamtasks_django.database.models import MirrorPosition, TaskResult
answer = [one.objects.all().delete()[0] for one in (TaskResult, MirrorPosition)]
"""

DRAIN: Final = """
import subprocess, sys, time
from django.tasks import task_backends
backend = task_backends["default"]
TASKS, MIRRORED = {tasks}, {mirrored}
ids = []
for begin in range(0, TASKS, 1000):
    ids += [one.id for one in backend.enqueue_many([(tasks.add, (n, 1), {{}}) for n in range(begin, begin + 1000)])]
worker = subprocess.Popen(
    [sys.executable, "-m", "django", "streamtasks_worker", "--concurrency", "2", "--log-level", "ERROR"]
)
while backend.get_statistics()["pending_tasks"]:
    time.sleep(0.2)
ended, rows = time.monotonic(), 0
if MIRRORED:
    from streamtasks_django.models import TaskResult
    while (rows := TaskResult.objects.count()) < TASKS:
        time.sleep(0.5)
copied_s = time.monotonic() - ended
worker.terminate()
worker.wait()
read = backend.stores.plain.read
finished = sorted(one.finished_ms for at in range(0, TASKS, 1000) for one in read(ids[at : at + 1000]))
spent_s = (finished[-1] - finished[3 * TASKS // 10]) / 1000
answer = [0.7 * TASKS / spent_s, copied_s, rows]
"""

CLEAN_UP: Final = """
import time
from datetime import UTC, datetime, timedelta
from django.db import connection
from streamtasks_django.models import TaskResult
from streamtasks_django.results.rows import delete_rows, write_rows
start = datetime(2020, 1, 1, tzinfo=UTC)
for begin in range(0, 100_000, 5000):
    write_rows(TaskResult, [
        dict(id=f"c{n}", status="SUCCESSFUL", state="SUCCESS", name="x", finished_at=start + timedelta(seconds=n))
        for n in range(begin, begin + 5000)
    ])
times = []
def watch(execute, sql, *more):
    began = time.perf_counter()
    try:
        return execute(sql, *more)
    finally:
        if sql.startswith("DELETE"):
            times.append(time.perf_counter() - began)
began = time.perf_counter()
with connection.execute_wrapper(watch):
    deleted = delete_rows(TaskResult, start + timedelta(days=3))
answer = [deleted, time.perf_counter() - began, max(times) * 1000]
"""


def drain(url: str, tasks: int, database: dict[str, Any] | None, *, mirrored: bool) -> list[float]:
    """Return tasks per second, seconds until all were copied, and how many rows there are."""
    with TemporaryDirectory() as folder:
        options: dict[str, Any] = {"url": url, "key_prefix": "on:" if mirrored else "off:"}
        if mirrored:
            options["result_model"] = "streamtasks_database.TaskResult"
        project = ResultProject(Path(folder), options, database=database)
        project.migrate()
        if mirrored:
            project.run(EMPTY)  # where --database outlives a round
        found: list[float] = project.run(DRAIN.format(tasks=tasks, mirrored=mirrored))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=240_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--database", type=json.loads, help="an entry of DATABASES; a file of SQLite")
    arguments = parser.parse_args()
    rates: dict[bool, list[float]] = {True: [], False: []}
    for number in range(arguments.rounds):
        for mirrored in (True, False) if number % 2 else (False, True):
            with EmbeddedServer() as server:
                rate, copied_s, rows = drain(server.url, arguments.tasks, arguments.database, mirrored=mirrored)
            rates[mirrored].append(rate)
            after = f"; {rows} rows, the last {copied_s:.1f} s after the drain" if mirrored else ""
            print(f"{'with' if mirrored else 'without'} the mirror: {rate:,.0f} tasks/s{after}", flush=True)
    off, on = (statistics.median(rates[mirrored]) for mirrored in (False, True))
    print(f"median: {off:,.0f} without, {on:,.0f} with: {on / off:.2f} x")
    with TemporaryDirectory() as folder:
        project = ResultProject(Path(folder), {}, database=arguments.database)
        project.migrate()
        deleted, took_s, longest_ms = project.run(CLEAN_UP)
    print(f"clean-up: {deleted} rows in {took_s:.1f} s, the longest statement {longest_ms:.0f} ms")


if __name__ == "__main__":
    main()
