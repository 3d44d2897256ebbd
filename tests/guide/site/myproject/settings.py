"""Settings of the project; the environment says where its server and its files are."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import streamtasks_django

if os.environ["GUIDE_INSTALL"]:
    streamtasks_django.install_as_django_tasks()

from django.tasks.schedules import crontab

_folder = Path(os.environ["GUIDE_FOLDER"])
_server = urlsplit(os.environ["GUIDE_URL"])

SECRET_KEY = "not a secret"
USE_TZ = True
TIME_ZONE = "Asia/Kathmandu"
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "myproject.urls"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "streamtasks_django",
    "myapp",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(_folder / "database.sqlite3"),
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = str(_folder / "mails")
MEDIA_ROOT = str(_folder / "media")
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

_connection: dict[str, Any] = {"host": _server.hostname, "port": _server.port, "db": 0}
TASKS = {
    "default": {
        "BACKEND": "myapp.backends.CustomRedisBackend",
        "OPTIONS": {"connection": _connection, "key_prefix": "django_tasks:", "lease": 5},
    },
    "redis": {
        "BACKEND": "django.tasks.backends.redis.RedisBackend",
        "OPTIONS": {"connection": _connection, "key_prefix": "other_tasks:", "lease": 5},
    },
}
TASK_ROUTES = {"myapp.tasks.send_email_django_task": {"backend": "redis"}}
TASK_SCHEDULE = {
    "welcome": {
        "task": "myapp.tasks.send_welcome_email",
        "schedule": crontab(hour=9, minute=0),  # Daily at 9 AM
        "args": [1],
    }
}
TASK_WORKERS = {
    "default": {"concurrency": 3, "max_tasks_per_worker": 1000, "timeout": 300},
    "redis": {"concurrency": 1, "max_tasks_per_worker": 50, "timeout": 600},
}
TASK_IMPORTS = ["myapp.enqueueing"]  # it defines a task, and no view imports it
TASK_SERIALIZER = "json"
TASK_RESULT_EXPIRES = 3600
TASK_DEFAULT_RETRY_DELAY = 60
TASK_MAX_RETRIES = 3
TASK_SEND_EVENTS = True
TASK_TRACK_STARTED = True
