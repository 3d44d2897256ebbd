"""A Django project that keeps results in a database, with the documented model as it stands in the guide."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.django_site import environment
from tests.support.waiting import DEADLINE_S

SETTINGS = """
import os
from streamtasks_django import install_as_django_tasks

install_as_django_tasks()

SECRET_KEY = "x"
USE_TZ = True
ROOT_URLCONF = "shop.urls"
DATABASES = {{"default": {database}}}
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.messages",
    "django.contrib.sessions", "streamtasks_django", "streamtasks_django.database", "shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{{
    "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
    "OPTIONS": {{"context_processors": [
        "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]}},
}}]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TASKS = {{"default": {{"BACKEND": "{backend}", "OPTIONS": {options}}}}}
"""

MODELS = """
# models.py - Custom task model for database backend
from django.db import models
from django.tasks.backends.database.models import TaskResult

class CustomTaskResult(TaskResult):
    \"\"\"Extended task result model.\"\"\"

    priority = models.IntegerField(default=0)
    category = models.CharField(max_length=50, blank=True)
    created_by = models.ForeignKey(
        'auth.User',
        on_delete=models.SET_NULL,
        null=True,
        blank=True
    )

    class Meta:
        db_table = 'custom_task_results'
        indexes = [
            models.Index(fields=['priority', 'status']),
            models.Index(fields=['category', 'created_at']),
        ]
"""

BACKENDS = """
from django.tasks.backends.redis import RedisBackend

from .models import CustomTaskResult

class CustomBackend(RedisBackend):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.model = CustomTaskResult

    def store_result(self, task_id, result, status, **kwargs):
        return super().store_result(
            task_id,
            result,
            status,
            priority=kwargs.get('priority', 0),
            category=kwargs.get('category', ''),
            created_by_id=kwargs.get('user_id')
        )
"""

DATABASE_BACKENDS = """
from django.tasks.backends.database import DatabaseBackend

from .models import CustomTaskResult

# Custom backend using extended model
class CustomDatabaseBackend(DatabaseBackend):
    \"\"\"Custom database backend with extended functionality.\"\"\"

    def __init__(self, **options):
        super().__init__(**options)
        self.model = CustomTaskResult

    def store_result(self, task_id, result, status, **kwargs):
        \"\"\"Store task result with additional metadata.\"\"\"
        return super().store_result(
            task_id,
            result,
            status,
            priority=kwargs.get('priority', 0),
            category=kwargs.get('category', ''),
            created_by_id=kwargs.get('user_id')
        )
"""
"""As the guide has it, below its model."""

TASKS = """
from django.tasks import task

@task
def add(a, b):
    return a + b

@task
def fail():
    raise ValueError("nul \\0 in it")
"""

URLS = """
from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
"""

BEGIN = """
import django, json
django.setup()
from shop import tasks
from shop.models import CustomTaskResult
"""


class ResultProject:
    """The project, in a folder.

    Args:
        folder: where its files go.
        options: OPTIONS of its backend.
        backend: path of its backend.
        database: the entry of DATABASES; None: a file of SQLite in the folder.
    """

    def __init__(
        self,
        folder: Path,
        options: dict[str, Any],
        backend: str = "django.tasks.backends.redis.RedisBackend",
        database: dict[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        if database is None:
            file = str(folder / "db.sqlite3")
            database = {"ENGINE": "django.db.backends.sqlite3", "NAME": file, "OPTIONS": {"timeout": 30}}
        shop = folder / "shop"
        shop.mkdir()
        settings = SETTINGS.format(database=database, backend=backend, options=options)
        (folder / "result_settings.py").write_text(settings)
        backends = DATABASE_BACKENDS if "database" in backend.lower() else BACKENDS
        files = {"__init__": "", "models": MODELS, "backends": backends, "tasks": TASKS, "urls": URLS}
        for name, text in files.items():
            (shop / f"{name}.py").write_text(text)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its processes."""
        found = environment(DJANGO_SETTINGS_MODULE="result_settings")
        return {**found, "PYTHONPATH": f"{self.folder}:{found['PYTHONPATH']}"}

    def migrate(self) -> list[str]:
        """Make the migrations of its app, and all tables; return their names.

        No check may find anything, and the migrations that are shipped must be complete.
        """
        tables: list[str] = self.run(
            "from django.core.management import call_command\n"
            "from django.db import connection\n"
            "call_command('makemigrations', 'shop', verbosity=0)\n"
            "call_command('makemigrations', '--check', '--dry-run', verbosity=0)\n"
            "call_command('check', '--fail-level', 'WARNING')\n"
            "call_command('migrate', verbosity=0)\n"
            "answer = connection.introspection.table_names()"
        )
        return tables

    def run(self, code: str) -> Any:
        """Run code in the project; return what it leaves in ``answer``."""
        done = self._done(f"{code}\nprint(json.dumps(answer, default=str))")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def status_of(self, code: str) -> int:
        """Run code in the project; return the exit status."""
        return self._done(code).returncode

    def _done(self, code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", BEGIN + code],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=5 * DEADLINE_S,
            check=False,
        )
