"""The Django project of the benchmarks, as in production: Django's own logging, no DEBUG, a task that does nothing.

This module is its settings; its tasks are in `bench_django_tasks`. ``STREAMTASKS_BENCHMARK_LOG`` is the level of the
logger django.tasks, ``STREAMTASKS_BENCHMARK_MIDDLEWARE`` names a class of middleware.
"""

import os

SECRET_KEY = "of a benchmark"
USE_TZ = True
INSTALLED_APPS = ["streamtasks_django"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
TASKS = {
    "default": {
        "BACKEND": "streamtasks_django.backends.redis.RedisBackend",
        "OPTIONS": {"url": os.environ.get("STREAMTASKS_BENCHMARK_URL", "redis://127.0.0.1:1/0")},
    }
}
TASK_IMPORTS = ["bench_django_tasks"]
STREAMTASKS = {"MIDDLEWARE": [one for one in [os.environ.get("STREAMTASKS_BENCHMARK_MIDDLEWARE")] if one]}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "loggers": {"django.tasks": {"level": os.environ.get("STREAMTASKS_BENCHMARK_LOG", "INFO")}},
}
