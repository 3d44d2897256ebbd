"""A Django project whose tasks are in SQL, and its workers: real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tests.docs.test_readme import environment
from tests.support.failure_logs import show_log
from tests.support.mariadb import DRIVER
from tests.support.waiting import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

SETTINGS = """\
{driver}from streamtasks_django.framework import alias_backport

alias_backport()  # on Django 5.2 the scripts find the backport under the names of Django 6
SECRET_KEY = "only for this test"
INSTALLED_APPS = ["django.contrib.contenttypes", "streamtasks_django", "shop"]
DATABASES = {{"default": {database!r}}}
TASKS = {{
    "default": {{
        "BACKEND": "streamtasks_django.backends.database.DatabaseBackend",
        "OPTIONS": {options!r},
    }},
    "mail": {{
        "BACKEND": "streamtasks_django.backends.database.DatabaseBackend", "OPTIONS": {{"table_name": "{table}_mail"}}
    }},
}}
"""
TASKS = """\
import os, time
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

@task
def long(name):
    with open(f"{name}.started", "a") as file:
        file.write("x")
    while not os.path.exists(f"{name}.go"):
        time.sleep(0.02)
    with open(f"{name}.ended", "a") as file:
        file.write("x")
    return name
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
    """A project in a folder, on one kind of database.

    Args:
        folder: where its files go.
        database: its entry of DATABASES.
        options: of OPTIONS, besides the tables' name and patience.
    """

    def __init__(self, folder: Path, database: dict[str, Any], **options: Any) -> None:
        self.folder = folder
        self.hears = database["ENGINE"].endswith("postgresql")
        (folder / "shop").mkdir()
        for name in ("shop/__init__.py", "shop/models.py"):
            (folder / name).write_text("")
        (folder / "shop/tasks.py").write_text(TASKS)
        self.table = f"shop_{os.getpid()}_{abs(hash(str(folder))) % 10_000}"
        options = {"table_name": self.table, "timeout": 30, "enqueue_timeout": 30, **options}
        driver = f"import {DRIVER}\n" if database["ENGINE"].endswith("mysql") else ""
        text = SETTINGS.format(driver=driver, database=database, table=self.table, options=options)
        (folder / "shop_settings.py").write_text(text)

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

    def migrate(self) -> None:
        """Make its tables."""
        self.run("-m", "django", "migrate", "--verbosity", "0")

    def start(self, name: str = "worker", *options: str) -> subprocess.Popen[bytes]:
        """Start a worker; what it says is added to ``<name>.log``."""
        log = self.folder / f"{name}.log"
        show_log(name, log)
        command = [sys.executable, "-m", "streamtasks_workers", "--backend", "default", "--concurrency", "2", *options]
        with log.open("ab") as stream:
            return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=stream, stderr=stream)

    @contextmanager
    def worker(self, name: str = "worker", *options: str) -> Generator[subprocess.Popen[bytes]]:
        """Run a worker meanwhile; it must end well when it is asked."""
        process = self.start(name, *options)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()
            process.wait()

    def wait_all_finished(self) -> dict[str, int]:
        """Wait until no task is left; return how many had which outcome."""
        found: list[Any] = []

        def finished() -> bool:
            found[:] = self.use(COUNT)
            return bool(found[0] == 0)

        wait_until(finished, lambda: f"nothing is left: {found}", 3 * DEADLINE_S, every_s=0.5)
        outcomes: dict[str, int] = found[1]
        return outcomes


def forked(pid: int) -> list[psutil.Process]:
    """Return what the supervisor of a worker has forked, its keeper first, once it has two children."""

    def processes() -> list[psutil.Process]:
        return sorted(psutil.Process(pid).children(), key=lambda child: (child.create_time(), child.pid))

    wait_until(lambda: len(processes()) >= 3, "the worker has children")
    return processes()
