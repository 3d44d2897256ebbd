"""The server whose diagnosis stands in docs/doctor.md."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager

import redis

from streamtasks import StreamTasks
from streamtasks.protocol.keys import Keys
from streamtasks.protocol.task_digests import digests
from streamtasks_workers.testing.embedded import EmbeddedServer


@contextmanager
def prepared() -> Generator[str]:
    """Start a server on which some things are wrong; yield its URL."""
    with EmbeddedServer() as server, redis.Redis.from_url(server.url) as client:
        app = StreamTasks(server.url)
        add = app.task(name="shop.add")(lambda a, b: a + b)
        add.using(queue="mails").enqueue(1, 2)
        add.using(queue="reports").enqueue(1, 2)
        keys = Keys(app.settings.key_prefix, "u0")
        seconds, _ = client.time()
        about = {"queue_mode": "only", "queues": ["mails"], "children": 2, "tasks": digests(app.tasks)}
        client.zadd(keys.workers, {"web1-4711-5f2c90aa": seconds * 1000})
        client.hset(keys.worker_info, "web1-4711-5f2c90aa", json.dumps(about))
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", 100_000_000)
        yield server.url
