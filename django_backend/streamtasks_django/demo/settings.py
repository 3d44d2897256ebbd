"""Settings of the example site: no database, no sessions, one page."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote

import django

URL_VARIABLE = "STREAMTASKS_DEMO_URL"
"""Where site and worker find the server that ``streamtasks demo`` has started."""


def _url() -> str:
    """Return the URL of the server, with the password that a container has in a file."""
    scheme, _, rest = os.environ.get(URL_VARIABLE, "redis://127.0.0.1:6379/0").partition("://")
    path = os.environ.get("STREAMTASKS_DEMO_PASSWORD_FILE")
    account = f":{quote(Path(path).read_text('utf-8').strip(), safe='')}@" if path else ""
    return f"{scheme}://{account}{rest}"


SECRET_KEY = secrets.token_urlsafe(32)  # no signature outlives the process
DEBUG = False
# Pages of other sites cannot reach this one by another host name.
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

INSTALLED_APPS = [
    "django.contrib.staticfiles",
    "streamtasks_django.dashboard",
    "streamtasks_django.progress",
    "streamtasks_django.demo",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware"
    if django.VERSION >= (6, 0)
    else "streamtasks_django.demo.policy.content_security_policy",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "streamtasks_django.demo.urls"
TEMPLATES: list[dict[str, Any]] = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES: dict[str, Any] = {}
STATIC_URL = "/static/"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

SECURE_CSP = {
    "default-src": ["'self'"],
    "base-uri": ["'none'"],
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
    "object-src": ["'none'"],
}
# Cookies ignore ports: with the usual name, your own project on 127.0.0.1:8000 would receive this one.
CSRF_COOKIE_NAME = "streamtasks_demo_csrf"
CSRF_COOKIE_SAMESITE = "Strict"

TASKS: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "streamtasks_django.backends.redis.RedisBackend",
        "OPTIONS": {"url": _url(), "key_prefix": "demo:"},
    }
}

TASK_IMPORTS = ["streamtasks_django.demo.work"]

# Only for this demo: whoever is at this machine may see and do everything on the dashboard.
STREAMTASKS = {"DASHBOARD_ROLES": "streamtasks_django.demo.access.dashboard_roles"}

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    # The page reads twice a second, and each task logs its start: too much for the terminal.
    "loggers": {
        "django.tasks": {"level": "WARNING"},
        "django.server": {"level": "ERROR"},
        "django.request": {"level": "ERROR"},
    },
}
