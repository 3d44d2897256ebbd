"""A project whose tasks are in SQL: its tables, a real worker on them, transactions, and children that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.docs.test_readme import environment
from tests.support.failure_logs import show_log
from tests.support.postgres import Postgres, find_postgres
from tests.support.sql_stores import sql_kinds
from tests.support.waiting import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.support.sql_stores import SqlStores

pytestmark = pytest.mark.slow

SETTINGS = """\
from streamtasks_django.framework import alias_backport

alias_backport()  # on Django 5.2 the scripts find the backport under the names of Django 6
SECRET_KEY = "only for this test"
INSTALLED_APPS = ["django.contrib.contenttypes", "streamtasks_django", "shop"]
DATABASES = {{"default": {database!r}}}
TASKS = {{
    "default": {{
        "BACKEND": "streamtasks_django.backends.database.DatabaseBackend",
        "OPTIONS": {{"table_name": "{table}", "timeout": 30, "enqueue_timeout": 30}},
    }},
    "mail": {{
        "BACKEND": "streamtasks_django.backends.database.DatabaseBackend", "OPTIONS": {{"table_name": "{table}_mail"}}
    }},
}}
"""
TASKS = """\
import time
from streamtasks_django import task

@task
def add(a, b):
    return a + b

@task(bind=True, max_retries=2, default_retry_delay=0.1)
def third_time(self):
    if self.request.retries < 2:
        raise self.retry()
    return self.request.retries

@task(rate_limit="100/s")
def limited(n):
    return n

@task
def short(n):
    time.sleep(0.01)
    return n
"""
USE = """\
import json, os, django
django.setup()
from django.db import transaction
from django.tasks import task_backends
from django.tasks.exceptions import TaskResultDoesNotExist
from shop.tasks import add, limited, third_time
from streamtasks.operations import control, inspect
from streamtasks_django import chain, group

with transaction.atomic():
    committed = add.delay(1, 1)
try:
    with transaction.atomic():
        rolled_back = add.delay(2, 2)
        raise KeyError
except KeyError:
    pass
def is_known(result):
    try:
        task_backends["default"].get_result(result.id)
    except TaskResultDoesNotExist:
        return False
    return True

with transaction.atomic():
    kept = add.delay(3, 3)
    try:
        with transaction.atomic():
            undone = add.delay(4, 4)
            raise KeyError
    except KeyError:
        pass
def states(owner):
    pages = [inspect.tasks(owner.store, owner.settings.wire, state, queue="quiet") for state in ("queued", "succeeded")]
    return [[view.id for view in page.tasks] for page in pages]

def paused():
    owner = task_backends["default"].owner
    control.pause(owner, "quiet", actor="ann", reason="test")
    waits = add.apply_async((1, 0), queue="quiet")
    add.delay(1, 1).get(timeout=60)
    before = states(owner) == [[waits.id], []]
    pauses = [(pause.queue, pause.actor) for pause in owner.store.pauses()]
    control.resume(owner, "quiet", actor="ben", reason="")
    waits.get(timeout=60)
    control.pause(owner, "", task="shop.tasks.third_time", actor="cy", reason="")
    paused = third_time.delay()
    add.delay(1, 1).get(timeout=60)
    before = before and paused.state == "QUEUED"
    control.resume(owner, "", task="shop.tasks.third_time", actor="cy", reason="")
    paused.get(timeout=60)
    audit = [(entry.operation, entry.actor) for entry in owner.store.audit_entries()]
    return [before, pauses, states(owner) == [[], [waits.id]], audit]

elsewhere = add.using(backend="mail").delay(5, 5)
print(json.dumps({
    "other_alias": [is_known(elsewhere), elsewhere.state, task_backends["mail"].get_statistics()["pending_tasks"]],
    "committed": committed.get(timeout=60),
    "rolled_back": is_known(rolled_back),
    "savepoint": [kept.get(timeout=60), is_known(undone)],
    "on_commit": add.delay_on_commit(5, 5).get(timeout=60),
    "retries": third_time.delay().get(timeout=60),
    "delayed": add.apply_async((2, 3), countdown=0.3).get(timeout=60),
    "limited": [one.get(timeout=60) for one in [limited.delay(n) for n in range(3)]],
    "group": group(add.s(n, n) for n in range(3)).apply_async().get(timeout=60),
    "chain": chain(add.s(1, 2), add.s(3)).apply_async().get(timeout=60),
    "paused": paused(),
}))
"""
MANY = """\
import json, django
django.setup()
from django.tasks import task_backends
from shop.tasks import short
backend = task_backends["default"]
print(json.dumps([one.id for one in backend.enqueue_many([(short, (n,), {}) for n in range(400)])]))
"""
COUNT = """\
import json, sys, django
django.setup()
from django.tasks import task_backends
backend = task_backends["default"]
found = backend.stores.plain.statistics()
print(json.dumps([found.unfinished, found.outcomes]))
"""


class Project:
    """A project in a folder, on one kind of database."""

    def __init__(self, folder: Path, database: dict[str, Any]) -> None:
        self.folder, self.is_on_sqlite = folder, database["ENGINE"].endswith("sqlite3")
        (folder / "shop").mkdir()
        for name in ("shop/__init__.py", "shop/models.py"):
            (folder / name).write_text("")
        (folder / "shop/tasks.py").write_text(TASKS)
        self.table = f"shop_{os.getpid()}_{abs(hash(str(folder))) % 10_000}"
        (folder / "shop_settings.py").write_text(SETTINGS.format(database=database, table=self.table))

    @property
    def environment(self) -> dict[str, str]:
        return {**environment(), "DJANGO_SETTINGS_MODULE": "shop_settings", "TMPDIR": str(self.folder)}

    def run(self, *words: str, status: int = 0, is_whole: bool = False) -> str:
        """Run Python; return what it has printed, also its errors if it fails or if ``is_whole``."""
        done = subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=self.environment, capture_output=True, text=True,
            timeout=3 * DEADLINE_S, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr if status or is_whole else done.stdout

    def use(self, script: str) -> Any:
        return json.loads(self.run("-c", script).splitlines()[-1])

    @contextmanager
    def worker(self, name: str = "worker") -> Generator[subprocess.Popen[bytes]]:
        log = self.folder / f"{name}.log"
        show_log(name, log)
        command = [sys.executable, "-m", "streamtasks_workers", "--backend", "default", "--concurrency", "2"]
        with log.open("wb") as stream:
            process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=stream, stderr=stream)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def postgres() -> Generator[Postgres]:
    with Postgres(durable=True) as started:
        yield started


@pytest.fixture(params=sql_kinds())
def project(request: pytest.FixtureRequest, sql_stores: SqlStores, tmp_path: Path) -> Project:
    return Project(tmp_path, sql_stores.database(request.param))


def test_a_worker_runs_the_tasks_of_a_migrated_project(project: Project) -> None:
    refused = project.run("-m", "streamtasks_workers", status=2)
    assert "has no table" in refused
    assert "manage.py migrate" in refused
    assert "Traceback" not in refused
    found = project.run("-m", "django", "check", "--database", "default", "--fail-level", "WARNING", status=1)
    assert "W010" in found
    assert "has no table" in found
    assert project.run("-m", "django", "migrate", "--verbosity", "0", is_whole=True) == ""
    assert "nothing to make" in project.run("-m", "django", "streamtasks_tables")
    project.run("-m", "django", "check", "--database", "default", "--fail-level", "WARNING")
    with project.worker():
        assert project.use(USE) == {
            "other_alias": [False, "QUEUED", 1],
            "committed": 2,
            "rolled_back": False,
            "savepoint": [6, False],
            "on_commit": 10,
            "retries": 2,
            "delayed": 5,
            "limited": [0, 1, 2],
            "group": [0, 2, 4],
            "chain": 6,
            "paused": [
                True,
                [["quiet", "ann"]],
                True,
                [["resume", "cy"], ["pause", "cy"], ["resume", "ben"], ["pause", "ann"]],
            ],
        }
        if project.is_on_sqlite:
            return  # there a worker hears of requests with its next beat
        [worker] = json.loads(project.run("-m", "django", "streamtasks", "workers", "list", "--json"))
        asked = project.run("-m", "django", "streamtasks", "workers", "drain", worker["name"], "--wait", "60")
        assert "drained: it runs nothing" in asked


@pytest.mark.parametrize("project", ["sqlite"], indirect=True)
def test_a_table_of_somebody_else_is_refused(project: Project) -> None:
    """First it is that of a model; then nobody has such a model any more, and its table is still there."""
    models, table = project.folder / "shop/models.py", f"{project.table}_message"
    models.write_text(
        "from django.db import models\n\nclass Note(models.Model):\n"
        f"    class Meta:\n        db_table = '{table}'\n        app_label = 'shop'\n"
    )
    found = project.run("-m", "django", "check", status=1)
    assert f"uses the table {table}, which is that of shop.Note" in found
    project.run("-m", "django", "migrate", "--run-syncdb", "--verbosity", "0", "--skip-checks")
    models.write_text("")
    found = project.run("-m", "django", "check", "--database", "default", "--fail-level", "WARNING", status=1)
    assert f"The table {table} of the database 'default' has no column" in found
    refused = project.run("-m", "streamtasks_workers", status=2)
    assert "Give the backend another table_name" in refused
    assert "Traceback" not in refused


@pytest.mark.skipif(find_postgres() is None, reason="needs PostgreSQL")
def test_a_worker_does_not_start_on_transactions_that_do_not_fit(sql_stores: SqlStores, tmp_path: Path) -> None:
    options = {"options": "-c default_transaction_isolation=serializable"}
    project = Project(tmp_path, {**sql_stores.database("postgres"), "OPTIONS": options})
    project.run("-m", "django", "migrate", "--verbosity", "0")
    found = project.run("-m", "django", "check", "--database", "default", "--fail-level", "WARNING", status=1)
    assert "are SERIALIZABLE" in found
    refused = project.run("-m", "streamtasks_workers", status=2)
    assert "are SERIALIZABLE, but DatabaseBackend needs READ COMMITTED" in refused
    assert "Traceback" not in refused


@pytest.mark.parametrize("project", sql_kinds()[:1], indirect=True)
def test_killed_children_lose_nothing_and_every_task_has_one_outcome(project: Project) -> None:
    project.run("-m", "django", "migrate", "--verbosity", "0")
    with project.worker() as process:
        assert len(project.use(MANY)) == 400
        for _ in range(3):
            kill_child(process.pid)
        found: list[Any] = []

        def finished() -> bool:
            found[:] = project.use(COUNT)
            return bool(found[0] == 0)

        wait_until(finished, lambda: f"{found}", 3 * DEADLINE_S, every_s=0.5)
    assert found[1]["SUCCESS"] == 400
    assert set(found[1]) <= {"SUCCESS", "CRASH", "RETRY"}


@pytest.mark.parametrize("project", ["sqlite"], indirect=True)
def test_two_workers_share_a_file_of_sqlite(project: Project) -> None:
    project.run("-m", "django", "migrate", "--verbosity", "0")
    logs = [project.folder / f"{name}.log" for name in ("one", "two")]
    with project.worker("one"), project.worker("two"):
        wait_until(lambda: all("one of them writes at a time" in log.read_text() for log in logs), "both say so")
        project.use(MANY.replace("400", "120"))
        wait_until(lambda: project.use(COUNT) == [0, {"SUCCESS": 120}], "all have run", 3 * DEADLINE_S, every_s=0.5)
        assert sum(log.read_text().count("state=SUCCESSFUL") for log in logs) == 120


def kill_child(pid: int) -> None:
    """Kill a process that runs tasks: those that the supervisor has forked, but for its keeper, which was the first."""

    def children() -> list[psutil.Process]:
        return sorted(psutil.Process(pid).children(), key=lambda child: (child.create_time(), child.pid))[1:]

    wait_until(lambda: len(children()) >= 2, "the worker has children")
    children()[-1].kill()


@pytest.mark.skipif(find_postgres() is None, reason="needs PostgreSQL")
def test_the_database_is_away_while_tasks_run(tmp_path: Path, postgres: Postgres) -> None:
    """Its server ends at once and comes back with its data: the same worker finishes everything, each once recorded."""
    project = Project(tmp_path, postgres.database)
    project.run("-m", "django", "migrate", "--verbosity", "0")
    with project.worker() as process:
        log = tmp_path / "worker.log"
        assert len(project.use(MANY)) == 400
        wait_until(lambda: log.read_text().count("state=SUCCESSFUL") > 10, "tasks run")
        postgres.stop()
        wait_until(lambda: "does not answer" in log.read_text(), "the worker says that it is away")
        postgres.start()
        again = len(project.use(MANY))
        wait_until(lambda: log.read_text().count("state=SUCCESSFUL") >= 400 + again, "all have run", 3 * DEADLINE_S)
        wait_until(lambda: project.use(COUNT)[0] == 0, "all outcomes are recorded", 3 * DEADLINE_S, every_s=2.0)
        assert process.poll() is None
    outcomes = project.use(COUNT)[1]
    assert outcomes["SUCCESS"] == 400 + again, outcomes
