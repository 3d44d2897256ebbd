"""``install_as_django_tasks()``: the documented imports work as they stand, in a project of their own."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import django
import pytest

from streamtasks_django.framework import PACKAGE
from tests.support.django_site import environment

if TYPE_CHECKING:
    from pathlib import Path

ONLY_BACKPORT = {"InvalidTaskError", "InvalidTaskBackendError", "TaskResult"}
"""Names of the backport of Django 5.2 that ``django.tasks`` does not have there: two are called otherwise by Django."""

SETTINGS = """
from streamtasks_django import install_as_django_tasks

added = install_as_django_tasks()
again = install_as_django_tasks()

SECRET_KEY = "x"
USE_TZ = True
INSTALLED_APPS = ["streamtasks_django", "shop"]
TASKS = {{
    "default": {{"BACKEND": "{backend}", "OPTIONS": {options}}},
}}
LOGGING = {{
    "version": 1,
    "handlers": {{"out": {{"class": "logging.StreamHandler"}}}},
    "loggers": {{"streamtasks.django": {{"handlers": ["out"], "level": "INFO"}}}},
}}
"""

TASKS = """
from django.tasks import Task, task
from django.tasks.exceptions import Ignore, InvalidTask, Retry

@task{options}
def add({self}a, b):
    return a + b

class Double(Task):
    name = "double"

    def run(self, number):
        return 2 * number

double = Double()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    options = "(bind=True, max_retries=3, rate_limit='10/m', queue='high_priority')" if django.VERSION >= (6, 1) else ""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "tasks.py").write_text(TASKS.format(options=options, self="self, " if options else ""))
    return tmp_path


def run(project: Path, code: str, backend: str, options: str = "{}") -> Any:
    (project / "documented_settings.py").write_text(SETTINGS.format(backend=backend, options=options))
    found = subprocess.run(
        [sys.executable, "-c", "import django, json; django.setup()\n" + code],
        cwd=project,
        env=environment(DJANGO_SETTINGS_MODULE="documented_settings"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert "streamtasks is installed as django.tasks" in found.stderr
    return json.loads(found.stdout.splitlines()[-1])


def test_the_documented_imports_work_with_redis(project: Path, embedded_url: str) -> None:
    code = """
from django.tasks import get_task_backend, Task
from django.tasks.backends.redis import RedisBackend
import django.tasks.backends.redis
import django.tasks.base, django.tasks.exceptions as e
from shop.tasks import add, double
import streamtasks, streamtasks_django, documented_settings
result = add.delay(1, 2)
backend = get_task_backend()
print(json.dumps([
    type(backend) is RedisBackend,
    backend.get_result(result.id).args,
    double(4),
    double.delay(number=4).kwargs,
    Task is streamtasks_django.Task,
    django.tasks.base.Task is not Task,
    e.Retry is streamtasks.Retry,
    e.InvalidTask is not streamtasks.InvalidTask,
    issubclass(streamtasks_django.exceptions.InvalidTask, e.InvalidTask),
    documented_settings.added == documented_settings.again,
    "django.tasks.exceptions.InvalidTask" not in documented_settings.added,
]))
"""
    found = run(project, code, "django.tasks.backends.redis.RedisBackend", f'{{"url": "{embedded_url}"}}')
    assert found == [True, [1, 2], 8, {"number": 4}, *([True] * 7)]


def test_the_documented_imports_work_in_memory(project: Path) -> None:
    code = """
from django.tasks import get_task_backend
from shop.tasks import add, double
print(json.dumps([double.delay(4).get(timeout=60), add.delay(1, 2).get(timeout=60)]))
"""
    found = run(project, code, "django.tasks.backends.memory.MemoryBackend", '{"max_tasks": 1000}')
    assert found == [8, 3]


def test_nothing_is_installed_without_asking() -> None:
    code = f"import streamtasks_django, {PACKAGE} as tasks; print(hasattr(tasks, 'get_task_backend'))"
    found = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


@pytest.mark.parametrize("name", ["", ".exceptions", ".signals"])
def test_replacing_the_package_breaks_no_import(name: str) -> None:
    """What a project imports from Django's own modules is found in ours too."""
    theirs, ours = importlib.import_module(f"django.tasks{name}"), importlib.import_module(f"streamtasks_django{name}")
    wanted = getattr(theirs, "__all__", None) or [
        name for name in vars(theirs) if name.startswith(("task_", "Task", "Invalid"))
    ]
    assert len(wanted) >= 3
    assert [one for one in wanted if not hasattr(ours, one) and one not in ONLY_BACKPORT] == []
