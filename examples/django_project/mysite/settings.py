"""As little as a project needs."""

import os

SECRET_KEY = "only for this example"
DEBUG = True
ROOT_URLCONF = "mysite.urls"
INSTALLED_APPS = ["shop", "streamtasks_django"]
USE_TZ = True

TASKS = {
    "default": {
        "BACKEND": "streamtasks_django.backends.redis.RedisBackend",
        "QUEUES": ["default", "mail"],
        "OPTIONS": {"url": os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")},
    }
}
