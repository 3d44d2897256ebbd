"""Settings of production: Django's own logging, no DEBUG. `COMPARE_DJANGO` names the backend."""

import os

from compare.peer import KEEP_S, URL

SECRET_KEY = "of a benchmark"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
_backend = os.environ.get("COMPARE_DJANGO", "streamtasks")
if _backend == "django-tasks-redis":
    INSTALLED_APPS = ["django_tasks_redis", "compare.peers.django_app"]
    TASKS = {
        "default": {
            "BACKEND": "django_tasks_redis.RedisTaskBackend",
            "OPTIONS": {"REDIS_URL": URL, "REDIS_RESULT_TTL": KEEP_S},
        }
    }
else:
    INSTALLED_APPS = ["streamtasks_django", "compare.peers.django_app"]
    TASKS = {
        "default": {"BACKEND": "streamtasks_django.backends.redis.RedisBackend", "OPTIONS": {"url": URL}},
    }
if os.environ.get("COMPARE_DJANGO_LOG"):
    LOGGING = {"version": 1, "loggers": {"django.tasks": {"level": os.environ["COMPARE_DJANGO_LOG"]}}}
