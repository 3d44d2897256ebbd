"""Tasks on Redis Streams.

::

    TASKS = {
        "default": {
            "BACKEND": "streamtasks_django.backends.redis.RedisBackend",
            "OPTIONS": {"connection": {"host": "localhost", "port": 6379, "db": 0}},
        }
    }

Where Sentinels watch the servers::

    TASKS = {
        "default": {
            "BACKEND": "streamtasks_django.backends.redis.RedisSentinelBackend",
            "OPTIONS": {
                "sentinels": [("sentinel1", 26379), ("sentinel2", 26379), ("sentinel3", 26379)],
                "service_name": "mymaster",
            },
        }
    }

`streamtasks_django.conf.options` lists all OPTIONS. Workers: ``python manage.py streamtasks_worker``.

All of ``django.tasks`` is supported. Where Django leaves the behaviour open, it is this:

* *At least once.* A task whose worker dies runs again; write tasks so that this is harmless.
* ``enqueue()`` takes effect at once, also inside a transaction that is rolled back later, unless OPTIONS say
  ``on_commit``. ``delay_on_commit()``, ``apply_async_on_commit()`` and the context manager
  `streamtasks_django.enqueue_on_commit` wait for the commit, too.
* Without ``QUEUES``, every queue name of letters, digits and ``_ . : -`` is valid.
* ``status`` becomes RUNNING for attempts that run longer than about 20 ms; shorter ones are READY, then finished.
* ``task_started`` is sent for every attempt, ``task_finished`` once at the end. For an outcome that was decided
  without the task's process (a dead letter after crashes, a hard time limit, a revocation) another process of a
  worker sends it afterwards. A revocation is only told to receivers that were connected, besides Django's own log
  receiver, when the task was enqueued, or in a worker. An error of a receiver is logged, here and in ``enqueue()``,
  and changes nothing. If a worker is killed between ``task_finished`` and the write of the outcome, the task is run
  again, and the signal sent again.
* ``return_value`` in ``task_finished`` is the output of Django's ``normalize_json``; a result that is read has been
  through JSON.
* Dicts whose keys are not all strings are refused, in arguments (a TypeError of ``enqueue()``) and in results.
* ``enqueued_at`` of the object that ``enqueue()`` returns is this process's clock; all times of a result that is read
  are the server's.
* Messages and tracebacks of errors are cut to 8 KiB of text.
* Results of successes are kept for 1 day, others for 7 (``result_expires``, ``failure_expires``), then
  ``TaskResultDoesNotExist`` is raised. Records of unfinished tasks never expire.
* A result whose task is unknown in this process has a task with the right name that cannot be called.
"""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Any, override

from streamtasks import StoreSettings
from streamtasks.results.waits import ended_soon
from streamtasks.stores.redis import AsyncRedisStore, RedisStore

from ..conf.cluster_options import CLUSTER_OPTIONS, cluster_server
from ..conf.options import store_settings
from ..conf.sentinel_options import SENTINEL_OPTIONS, sentinel_server
from ..enqueue.store_alias import Stores
from ..results.task_result import StreamTaskResult
from ..tasks.snapshot_results import from_snapshot
from .base import StoreBackend

__all__ = ["RedisBackend", "RedisClusterBackend", "RedisSentinelBackend"]

_stores: dict[StoreSettings, Stores] = {}
_lock = threading.Lock()


class RedisBackend(StoreBackend):
    """Keep tasks and results on one Redis or Valkey server."""

    copies_rows = True

    @cached_property
    def stores(self) -> Stores:
        """The store, shared by the whole process."""
        settings = self.store_settings
        found = _stores.get(settings)
        if found is None:
            with _lock:
                plain = RedisStore(settings)
                found = _stores.setdefault(settings, Stores(plain, AsyncRedisStore(settings, plain.shards)))
        return found

    @override
    def ended_soon(
        self, task_id: str, timeout: float | None, *, allow_wait: bool = False
    ) -> StreamTaskResult[Any] | None:
        ended = ended_soon(self.stores.plain, task_id, timeout, allow_wait=allow_wait)
        return None if ended is None else from_snapshot(ended, self.alias)


class RedisSentinelBackend(RedisBackend):
    """Keeps tasks and results on the master that Sentinels name, and follows it when it changes."""

    known_options = SENTINEL_OPTIONS

    @override
    def read_settings(self) -> StoreSettings:
        return store_settings(self.alias, self.params.get("OPTIONS") or {}, sentinel_server)


class RedisClusterBackend(RedisBackend):
    """Keeps tasks and results on a Redis Cluster: every queue is spread over all of its masters.

    ::

        TASKS = {
            "default": {
                "BACKEND": "streamtasks_django.backends.redis.RedisClusterBackend",
                "OPTIONS": {"startup_nodes": [{"host": "redis1", "port": 6379}], "key_prefix": "tasks:"},
            }
        }

    `streamtasks_django.conf.cluster_options` lists what is different in its OPTIONS.
    """

    known_options = CLUSTER_OPTIONS

    @override
    def read_settings(self) -> StoreSettings:
        return store_settings(self.alias, self.params.get("OPTIONS") or {}, cluster_server)
