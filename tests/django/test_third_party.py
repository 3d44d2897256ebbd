"""Packages that live on ``django.tasks`` and its signals work as they expect; each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import django
import pytest

from tests.support.django_site import SITE, environment
from tests.support.waiting import DEADLINE_S

pytestmark = pytest.mark.skipif(django.VERSION < (6, 0), reason="these packages need Django's own tasks")

MONITORED = """
import json

import django
from django.conf import settings
from django.db import transaction

MEMORY = "streamtasks_django.backends.memory.MemoryBackend"
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "streamtasks_django",
        "contract.app",
        "tasks_monitor",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TASKS={
        alias: {"BACKEND": MEMORY, "OPTIONS": {"autostart": False, "on_commit": True}}
        for alias in ("default", "strict")
    },
    USE_TZ=True,
    LOGGING_CONFIG=None,
)
django.setup()

from django.core.management import call_command
from django.tasks import task_backends
from tasks_monitor.models import TaskRecord
from tasks_monitor.retry import retry

from contract.app import tasks

call_command("migrate", verbosity=0)
backend = task_backends["default"]
with transaction.atomic():
    good = tasks.add.using(priority=7).enqueue(1, b=2)
    bad = tasks.fail.enqueue("plain")
    before = TaskRecord.objects.count()
with transaction.atomic():
    tasks.add.enqueue(3, 4)
    transaction.set_rollback(True)
queued = list(TaskRecord.objects.values_list("status", flat=True))
backend.run_until_idle()
again = retry(TaskRecord.objects.get(result_id=bad.id))
backend.run_until_idle()
rows = {
    name: TaskRecord.objects.filter(result_id=task_id).values(
        "status", "priority", "args", "kwargs", "attempts", "exception_class", "retry_of__result_id", "task_path"
    )[0]
    for name, task_id in (("good", good.id), ("bad", bad.id), ("again", again.result_id))
}
count = TaskRecord.objects.count()
print(json.dumps({"before": before, "queued": queued, "rows": rows, "count": count, "bad": bad.id}))
"""

MAINTAINED = """
import json

import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "streamtasks_django",
        "maintenance_tasks",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TASKS={
        "default": {
            "BACKEND": "streamtasks_django.backends.memory.MemoryBackend",
            "OPTIONS": {"autostart": False},
        }
    },
    MAINTENANCE_TASKS={"MAX_RUNTIME": 0},  # a job for each batch
    USE_TZ=True,
    LOGGING_CONFIG=None,
)
django.setup()

from django.core.management import call_command
from django.tasks import task_backends
from django.tasks.signals import task_finished
from maintenance_tasks import MaintenanceTask, runner

call_command("migrate", verbosity=0)
backend = task_backends["default"]
processed = []
jobs = []


def count(sender, task_result, **kwargs):
    jobs.append(str(task_result.status))


task_finished.connect(count)


class Backfill(MaintenanceTask):
    batch_size = 2

    def collection(self):
        return list(range(5))

    def process(self, item):
        if item == self.arguments.get("bad"):
            raise ValueError(item)
        processed.append(item)
        if item == self.arguments.get("pause"):
            runner.pause(run)


def state():
    run.refresh_from_db()
    return [run.status, run.tick_count, len(jobs), list(processed)]


found = {}
run = runner.start(Backfill.name, {"pause": 3})
backend.run_until_idle()
found["paused"] = state()
runner.resume(run)
backend.run_until_idle()
found["resumed"] = state()
run = runner.start(Backfill.name, {"bad": 0})
runner.cancel(run)
backend.run_until_idle()
found["cancelled"] = state()
run = runner.start(Backfill.name, {"bad": 0})
backend.run_until_idle()
found["failed"] = [*state(), run.error_class]
found["jobs"] = sorted(set(jobs))
print(json.dumps(found))
"""


def run(code: str) -> Any:
    # Other people's code may use what is deprecated.
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(
        command, cwd=SITE, env=environment(), capture_output=True, text=True, timeout=2 * DEADLINE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_django_tasks_monitor_records_every_task() -> None:
    found = run(MONITORED)
    assert (found["before"], found["queued"], found["count"]) == (0, ["READY", "READY"], 3)
    good, bad, again = (found["rows"][name] for name in ("good", "bad", "again"))
    assert (good["status"], good["priority"], good["attempts"]) == ("SUCCESSFUL", 7, 1)
    assert (good["args"], good["kwargs"], good["task_path"]) == ([1], {"b": 2}, "contract.app.tasks.add")
    assert (bad["status"], bad["exception_class"]) == ("FAILED", "builtins.ValueError")
    assert (again["status"], again["retry_of__result_id"]) == ("FAILED", found["bad"])


def test_django_maintenance_tasks_pauses_resumes_and_cancels() -> None:
    found = run(MAINTAINED)
    assert found["paused"] == ["paused", 4, 2, [0, 1, 2, 3]]
    assert found["resumed"] == ["succeeded", 5, 3, [0, 1, 2, 3, 4]]
    assert found["cancelled"] == ["cancelled", 0, 4, [0, 1, 2, 3, 4]]
    assert found["failed"] == ["errored", 0, 5, [0, 1, 2, 3, 4], "builtins.ValueError"]
    assert found["jobs"] == ["SUCCESSFUL"], "the library reports the error itself"
