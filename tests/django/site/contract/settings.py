"""Settings of the project that the contract tests run; the environment says where its server is."""

import json
import os

from .options import WORKERS, default_database, tasks_setting

SECRET_KEY = "not a secret"
USE_TZ = True
TIME_ZONE = "Asia/Kathmandu"
INSTALLED_APPS = ["streamtasks_django", "streamtasks_django.outbox", "contract.app"]
ROOT_URLCONF = "contract.urls"
DATABASES = {
    "default": default_database(),
    "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
}
TASKS = tasks_setting()
TASK_WORKERS = json.loads(os.environ.get(WORKERS, "{}"))
TASK_IMPORTS = ["contract.elsewhere", "contract.app.documented", "contract.app.classes"]
STREAMTASKS = {"MIDDLEWARE": ["contract.notes.NoteMiddleware"]}
