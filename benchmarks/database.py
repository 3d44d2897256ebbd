"""DatabaseBackend next to django-tasks-db: the same PostgreSQL, the same tasks, two processes that run them.

    uv venv /tmp/theirs && uv pip install --python /tmp/theirs django-tasks-db "psycopg[binary]"
    uv run python benchmarks/database.py --theirs /tmp/theirs/bin/python

prints a table of everything that is promised of speed in SQL, in less than five minutes on a quiet machine:

* enqueueing, call by call, rounds of both alternating;
* the drain by two processes, results stored, also with the rows of ``streamtasks_django.database``;
* the start latency of an idle worker, by the database's clock;
* the drain with 1,000,000 finished tasks in the table against that with 10,000;
* deleting 100,000 of them, and 100,000 rows of results: the longest transaction;
* the mirror of a Redis backend into this PostgreSQL (``benchmarks/mirror.py`` measures more of it).

``--parts enqueue,drain`` runs some of them; ``--tasks`` says how many one drain has. PostgreSQL flushes each commit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent.parent))

from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.postgres import Postgres

PARTS: Final = ("enqueue", "drain", "latency", "million", "cleanup", "mirror")

SETTINGS = """\
SECRET_KEY = "only for this benchmark"
INSTALLED_APPS = ["django.contrib.contenttypes", {apps}, "shop"]
DATABASES = {{"default": {database!r}}}
TASKS = {{"default": {{"BACKEND": "{backend}", "OPTIONS": {{}}}}}}
USE_TZ = True
"""
TASKS = "from django.tasks import task\n\n@task\ndef add(a, b):\n    return a + b\n"
BEGIN = "import sys, time, json, django\ndjango.setup()\nfrom shop.tasks import add\n"
ENQUEUE = """
add.enqueue(0, 0)
began, spent = time.perf_counter(), time.process_time()
for number in range({tasks}):
    add.enqueue(number, 1)
print(json.dumps([{tasks} / (time.perf_counter() - began), (time.process_time() - spent) / {tasks} * 1e6]))
"""
ENQUEUE_MANY = """
from django.tasks import task_backends
for begin in range(0, {tasks}, 1000):
    some = min(1000, {tasks} - begin)
    task_backends["default"].enqueue_many([(add, (number, 1), {{}}) for number in range(some)])
print(0)
"""
LATENCY = """
found = []
for number in range(100):
    time.sleep(0.03)
    one = add.enqueue(number, 1)
    one.get(timeout=60)
    one.refresh()
    found.append((one.started_at - one.enqueued_at).total_seconds() * 1000)
print(json.dumps([sorted(found)[50], sorted(found)[95]]))
"""
CLEAN_UP = """
from datetime import UTC, datetime, timedelta
from django.db import connection
from django.tasks import task_backends
from streamtasks_django.models import TaskResult
backend = task_backends["default"]
times = []
def watch(execute, sql, *more):
    began = time.perf_counter()
    try:
        return execute(sql, *more)
    finally:
        if sql.lstrip().startswith(("DELETE", "UPDATE")):
            times.append((time.perf_counter() - began) * 1000)
answer = []
for delete in (backend.stores.plain.delete_finished, backend._delete_rows):
    times.clear()
    began = time.perf_counter()
    with connection.execute_wrapper(watch):
        deleted = delete({before_ms})
    answer.append([deleted, time.perf_counter() - began, max(times)])
print(json.dumps(answer))
"""
RECORDS = """
INSERT INTO streamtasks_record (id, state, token, finished_ms, expires_ms, first_ms, started_ms, attempts, deleted,
    enqueued_ms, envelope, result, history)
SELECT 'old-' || n, state, token, n, expires_ms, first_ms, started_ms, attempts, deleted, enqueued_ms, envelope,
    result, history
FROM (SELECT * FROM streamtasks_record WHERE id NOT LIKE 'old-%%' LIMIT 1) AS one,
    generate_series(%s::int, %s::int) AS n"""
ROWS = """
INSERT INTO streamtasks_results (id, status, state, name, queue, priority, args, kwargs, result, traceback, meta,
    worker, created_at, started_at, finished_at)
SELECT 'old-' || n, 'SUCCESSFUL', 'SUCCESS', 'shop.tasks.add', 'default', 0, '[1, 2]', '{}', '3', '', '{}', 'w',
    to_timestamp(n / 1000.0), to_timestamp(n / 1000.0), to_timestamp(n / 1000.0)
FROM generate_series(1, 100000) AS n"""


class Side:
    """One of the two: its project, in a database of its own."""

    def __init__(self, folder: Path, python: str, server: Postgres, name: str) -> None:
        import psycopg

        self.folder, self.python, self.name, self.ours = folder / name, python, name, name != "theirs"
        (self.folder / "shop").mkdir(parents=True)
        for file in ("__init__.py", "models.py"):
            (self.folder / "shop" / file).write_text("")
        (self.folder / "shop/tasks.py").write_text(TASKS)
        backend = "streamtasks_django.backends.database" if self.ours else "django_tasks_db"
        apps = {"theirs": '"django_tasks_db"', "ours": '"streamtasks_django"'}
        rows = '"streamtasks_django", "streamtasks_django.database"'
        database = {**server.database, "NAME": name}
        text = SETTINGS.format(apps=apps.get(name, rows), database=database, backend=f"{backend}.DatabaseBackend")
        (self.folder / "bench_settings.py").write_text(text)
        server.create_database(name)
        self.run("-m", "django", "migrate", "--verbosity", "0")
        self.connection: Any = psycopg.connect(host=database["HOST"], user="tests", dbname=name, autocommit=True)

    def run(self, *words: str) -> Any:
        done = subprocess.run(
            [self.python, *words], cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return json.loads(done.stdout.splitlines()[-1]) if words[0] == "-c" else None

    def environment(self) -> dict[str, str]:
        kept = {**os.environ, "DJANGO_SETTINGS_MODULE": "bench_settings", "PYTHONPATH": str(self.folder)}
        if self.ours:
            kept["PYTHONPATH"] = os.pathsep.join([str(self.folder), *(path for path in sys.path if path)])
        return kept

    def script(self, text: str, **values: int) -> Any:
        return self.run("-c", BEGIN + text.format(**values))

    def start(self, stack: ExitStack) -> None:
        options = ["--backend", "default", "--concurrency", "2", "--log-level", "ERROR"]
        command = [self.python, "-m", "streamtasks_workers", *options]
        if not self.ours:
            command = [self.python, "-m", "django", "db_worker", "--interval", "0.1"]
        for _ in range(1 if self.ours else 2):
            log = stack.enter_context((self.folder / "worker.log").open("ab"))
            process = subprocess.Popen(command, cwd=self.folder, env=self.environment(), stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)

    def value(self, sql: str, *parameters: Any) -> float:
        return float(self.connection.execute(sql, parameters or None).fetchone()[0] or 0)

    def enqueue_many(self, tasks: int) -> None:
        self.script(ENQUEUE_MANY, tasks=tasks)

    def drain(self, tasks: int) -> float:
        """Return tasks a second, of the last seven tenths, by the times in the table."""
        if self.ours:
            self.enqueue_many(tasks)
            left = "SELECT count(*) FROM streamtasks_message"
            times = "SELECT finished_ms AS at FROM streamtasks_record ORDER BY finished_ms DESC LIMIT %s"
        else:
            self.script(ENQUEUE, tasks=tasks)
            left = "SELECT count(*) FROM django_tasks_database_dbtaskresult WHERE status IN ('READY', 'RUNNING')"
            times = (
                "SELECT extract(epoch from finished_at) * 1000 AS at FROM django_tasks_database_dbtaskresult "
                "ORDER BY finished_at DESC LIMIT %s"
            )
        with ExitStack() as stack:
            self.start(stack)
            while self.value(left):
                time.sleep(0.2)
        return 0.7 * tasks / self.value(f"SELECT (max(at) - min(at)) / 1000.0 FROM ({times}) AS t", int(0.7 * tasks))


def say(text: str, goal: str = "") -> None:
    print(f"{text:<100}{goal}", flush=True)


def enqueue(ours: Side, theirs: Side | None) -> None:
    found: dict[str, list[list[float]]] = {}
    for _ in range(3):
        for side in (ours, theirs):
            if side is not None:
                found.setdefault(side.name, []).append(side.script(ENQUEUE, tasks=500))
    rates = {name: median(rate for rate, _ in some) for name, some in found.items()}
    for name, some in found.items():
        say(f"enqueue, {name}: {rates[name]:,.0f}/s, {median(cpu for _, cpu in some):.0f} us of processor")
    if theirs is not None:
        say(f"enqueue: {rates['ours'] / rates['theirs']:.2f} x theirs", ">= 1")


def drain(ours: Side, rows: Side, theirs: Side | None, tasks: int) -> None:
    rates = {side.name: side.drain(tasks) for side in (ours, rows)}
    if theirs is not None:
        rates["theirs"] = theirs.drain(max(1000, tasks // 10))
    for name, rate in rates.items():
        say(f"drain, {name}: {rate:,.0f}/s")
    if theirs is not None:
        say(f"drain: {rates['ours'] / rates['theirs']:.1f} x theirs", ">= 5")
        say(f"drain with rows of results: {rates['rows'] / rates['theirs']:.1f} x theirs", ">= 5")


def latency(ours: Side) -> None:
    with ExitStack() as stack:
        ours.start(stack)
        time.sleep(3)
        middle, slow = ours.script(LATENCY)
        say(f"start of a task in an idle worker: p50 {middle:.1f} ms, p95 {slow:.1f} ms", "p50 <= 5 ms")


def million(ours: Side, tasks: int) -> None:
    ours.drain(1000)
    ours.connection.execute(RECORDS, (1, 10_000))
    rates: dict[str, list[float]] = {"few": [ours.drain(tasks) for _ in range(2)]}
    ours.connection.execute(RECORDS, (10_001, 1_000_000))
    ours.connection.execute("VACUUM ANALYZE streamtasks_record")
    rates["many"] = [ours.drain(tasks) for _ in range(2)]
    few, many = (max(rates[name]) for name in ("few", "many"))
    say(f"drain with 10,000 finished tasks: {few:,.0f}/s; with 1,000,000: {many:,.0f}/s: {many / few:.2f} x", ">= 0.9")


def clean_up(rows: Side) -> None:
    rows.drain(100)
    rows.connection.execute(RECORDS, (1, 100_000))
    rows.connection.execute(ROWS)
    found = rows.script(CLEAN_UP, before_ms=10**9)
    for name, (deleted, took_s, longest_ms) in zip(("records", "rows of results"), found, strict=True):
        say(f"clean-up: {deleted:,} {name} in {took_s:.1f} s, the longest statement {longest_ms:.0f} ms", "<= 100 ms")


def mirror(server: Postgres, tasks: int) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    from mirror import drain as drain_of_mirror

    server.create_database("mirror")
    rates: dict[bool, list[float]] = {True: [], False: []}
    for mirrored in (False, True, True, False):
        with EmbeddedServer() as redis:
            database = {**server.database, "NAME": "mirror"}
            rates[mirrored].append(drain_of_mirror(redis.url, tasks, database, mirrored=mirrored)[0])
    off, on = (median(rates[mirrored]) for mirrored in (False, True))
    say(f"Redis, empty tasks: {off:,.0f}/s; with the mirror: {on:,.0f}/s: {on / off:.2f} x", ">= 0.9")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--theirs", help="Python of an environment with django-tasks-db")
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--parts", default=",".join(PARTS), help="of %(default)s")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Postgres(durable=True) as server:
        ours, rows = (Side(Path(folder), sys.executable, server, name) for name in ("ours", "rows"))
        theirs = Side(Path(folder), arguments.theirs, server, "theirs") if arguments.theirs else None
        if "enqueue" in parts:
            enqueue(ours, theirs)
            for side, table in ((ours, "streamtasks_message"), (theirs, "django_tasks_database_dbtaskresult")):
                if side is not None:
                    side.connection.execute(f"TRUNCATE {table}")
        if "drain" in parts:
            drain(ours, rows, theirs, arguments.tasks)
        if "latency" in parts:
            latency(ours)
        if "million" in parts:
            million(ours, arguments.tasks)
        if "cleanup" in parts:
            clean_up(rows)
        if "mirror" in parts:
            mirror(server, 12 * arguments.tasks)
        for side in (ours, rows, theirs):
            if side is not None:
                side.connection.close()
    say(f"took {time.monotonic() - began:.0f} s", "<= 300")


if __name__ == "__main__":
    main()
