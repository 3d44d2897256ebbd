"""DatabaseBackend next to django-tasks-db: the same PostgreSQL, the same tasks, two processes that run them.

    uv venv /tmp/theirs && uv pip install --python /tmp/theirs django-tasks-db "psycopg[binary]"
    python benchmarks/database.py --theirs /tmp/theirs/bin/python [--tasks 5000] [--kills 10]

With ``--kills`` it kills children of our worker by SIGKILL meanwhile, and shows what became of each task.
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
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.support.postgres import Postgres

SETTINGS = """\
import os
SECRET_KEY = "only for this benchmark"
INSTALLED_APPS = ["django.contrib.contenttypes", {apps}, "shop"]
DATABASES = {{"default": {database!r}}}
TASKS = {{"default": {{"BACKEND": "{backend}", "OPTIONS": {{}}}}}}
USE_TZ = True
"""
TASKS = "from {module} import task\n\n@task{call}\ndef add(a, b):\n    return a + b\n"
ENQUEUE = """\
import sys, time, json, django
django.setup()
from shop.tasks import add
n = int(sys.argv[1])
add.enqueue(0, 0)
began = time.perf_counter()
for number in range(n - 1):
    add.enqueue(number, 1)
print(json.dumps((n - 1) / (time.perf_counter() - began)))
"""
LATENCY = """\
import sys, time, json, django
django.setup()
from shop.tasks import add
found = []
for number in range(50):
    time.sleep(0.05)
    one = add.enqueue(number, 1)
    one.get(timeout=60)
    one.refresh()
    found.append((one.started_at - one.enqueued_at).total_seconds() * 1000)
print(json.dumps(sorted(found)[25]))
"""


class Side:
    """One of the two: its project, in a database of its own."""

    def __init__(self, folder: Path, python: str, database: dict[str, Any], ours: bool) -> None:
        self.folder, self.python, self.ours = folder, python, ours
        (folder / "shop").mkdir(parents=True)
        for name in ("__init__.py", "models.py"):
            (folder / "shop" / name).write_text("")
        module = "django.tasks"
        (folder / "shop/tasks.py").write_text(TASKS.format(module=module, call=""))
        backend = "streamtasks_django.backends.database" if ours else "django_tasks_db"
        apps = '"streamtasks_django"' if ours else '"django_tasks_db"'
        text = SETTINGS.format(apps=apps, database=database, backend=f"{backend}.DatabaseBackend")
        (folder / "bench_settings.py").write_text(text)
        self.database = database

    @property
    def environment(self) -> dict[str, str]:
        kept = {**os.environ, "DJANGO_SETTINGS_MODULE": "bench_settings", "PYTHONPATH": str(self.folder)}
        if self.ours:
            kept["PYTHONPATH"] = os.pathsep.join([str(self.folder), *(path for path in sys.path if path)])
        return kept

    def run(self, *words: str) -> Any:
        done = subprocess.run(
            [self.python, *words], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return json.loads(done.stdout.splitlines()[-1]) if words[0] == "-c" else None

    def workers(self) -> list[list[str]]:
        if self.ours:
            options = ["--backend", "default", "--concurrency", "2", "--log-level", "WARNING"]
            return [[self.python, "-m", "streamtasks_workers", *options]]
        return [[self.python, "-m", "django", "db_worker", "--interval", "0.1"] for _ in range(2)]

    def start(self, stack: ExitStack) -> list[subprocess.Popen[bytes]]:
        started = []
        for command in self.workers():
            log = stack.enter_context((self.folder / "worker.log").open("ab"))
            process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            started.append(process)
        return started

    def finished(self, connection: Any) -> int:
        table = "streamtasks_record" if self.ours else "django_tasks_db_dbtaskresult"
        condition = "" if self.ours else " WHERE status IN ('SUCCESSFUL', 'SUCCEEDED', 'FAILED')"
        return int(connection.execute(f"SELECT count(*) FROM {table}{condition}").fetchone()[0])


def drain(side: Side, tasks: int, connection: Any, kills: int = 0) -> float:
    """Return tasks a second, from the first tenth on."""
    with ExitStack() as stack:
        workers = side.start(stack)
        began, first = 0.0, 0
        while (done := side.finished(connection)) < tasks:
            if not began and done >= tasks / 10:
                began, first = time.perf_counter(), done
            if kills and began:
                children = psutil.Process(workers[0].pid).children()[1:]
                if children:
                    children[-1].kill()
                    kills -= 1
            time.sleep(0.05)
        return (tasks - first) / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--theirs", help="Python of an environment with django-tasks-db")
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=0)
    arguments = parser.parse_args()
    import psycopg

    with tempfile.TemporaryDirectory() as folder, Postgres(durable=True) as server:
        sides = [(True, sys.executable)] + ([(False, arguments.theirs)] if arguments.theirs else [])
        for ours, python in sides:
            name = "ours" if ours else "theirs"
            server.create_database(name)
            database = {**server.database, "NAME": name}
            side = Side(Path(folder) / name, python, database, ours)
            side.run("-m", "django", "migrate", "--verbosity", "0")
            with psycopg.connect(host=database["HOST"], user="tests", dbname=name, autocommit=True) as connection:
                rate = side.run("-c", ENQUEUE, str(arguments.tasks))
                print(f"{name}: enqueue {rate:,.0f} a second")
                print(f"{name}: drain {drain(side, arguments.tasks, connection, arguments.kills * ours):,.0f} a second")
                if ours:
                    states = connection.execute("SELECT state, count(*) FROM streamtasks_record GROUP BY 1").fetchall()
                    left = connection.execute("SELECT count(*) FROM streamtasks_message").fetchone()
                    print(f"{name}: outcomes {states}, unfinished {left}")
                    with ExitStack() as stack:
                        side.start(stack)
                        time.sleep(3)
                        print(f"{name}: start latency of an idle worker, median {side.run('-c', LATENCY):.1f} ms")


if __name__ == "__main__":
    main()
