"""What the settings and the tests both need to know."""

import json
import os
from typing import Any
from urllib.parse import urlsplit

URL = "CONTRACT_URL"
PREFIX = "CONTRACT_PREFIX"
DATABASE = "CONTRACT_DATABASE"
NOTES = "CONTRACT_NOTES"
OUTBOX = "CONTRACT_OUTBOX"
WORKERS = "CONTRACT_WORKERS"
CLUSTER = "CONTRACT_CLUSTER"
SHARDS = "CONTRACT_SHARDS"
NO_SERVER = "redis://127.0.0.1:1/"


def default_database() -> dict[str, Any]:
    """Return the entry of DATABASES that the environment has, as JSON or as the path of a file of SQLite."""
    named = os.environ.get(DATABASE, ":memory:")
    if named.startswith("{"):
        found: dict[str, Any] = json.loads(named)
        return found
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": named, "OPTIONS": {"timeout": 60}}


def tasks_setting(url: str | None = None, prefix: str | None = None, *, outbox: bool = False) -> dict[str, Any]:
    """Return ``settings.TASKS`` for a server; by default the one that the environment names."""
    options: dict[str, Any] = {
        "url": url or os.environ.get(URL, f"{NO_SERVER}0"),
        "key_prefix": prefix or os.environ.get(PREFIX, "contract:"),
        "lease": 5,
        "timeout": 5,
    }
    if not options["url"].startswith(NO_SERVER):
        options |= {"timeout": 60, "enqueue_timeout": 60}  # no test of what a busy machine does in 3 s
    if outbox or os.environ.get(OUTBOX):
        options["outbox"] = True
    backend = "streamtasks_django.backends.redis.RedisBackend"
    if options["url"].startswith("memory:"):
        backend = "streamtasks_django.backends.memory.MemoryBackend"
        options = {"url": options["url"], "key_prefix": options["key_prefix"], "autostart": False}
    if os.environ.get(CLUSTER):
        backend = "streamtasks_django.backends.redis.RedisClusterBackend"
        options |= _node(options.pop("url"))
        if shards := os.environ.get(SHARDS):
            options["shards"] = int(shards)
    return {
        "default": {"BACKEND": backend, "OPTIONS": options},
        "strict": {
            "BACKEND": backend,
            "QUEUES": ["default", "mail"],
            "OPTIONS": {**options, "key_prefix": f"{options['key_prefix']}strict:"},
        },
    }


def _node(url: str) -> dict[str, Any]:
    """Return the options of a Cluster that has a node at this URL."""
    parts = urlsplit(url)
    connection = {"username": parts.username, "password": parts.password} if parts.username else {}
    return {"startup_nodes": [{"host": parts.hostname, "port": parts.port}], "connection": connection}
