"""Tasks on Redis Streams.

::

    TASKS = {
        "default": {
            "BACKEND": "streamtasks_django.backends.redis.RedisBackend",
            "OPTIONS": {"connection": {"host": "localhost", "port": 6379, "db": 0}},
        }
    }

All OPTIONS stand in `streamtasks_django.conf.options`. Workers: ``python manage.py streamtasks_worker``.

Everything that ``django.tasks`` offers is supported. Where Django leaves room, this is what happens:

* *At least once.* A task whose worker dies is run again; write tasks so that this does no harm.
* ``enqueue()`` takes effect at once, also inside a transaction that is rolled back later. Use
  ``transaction.on_commit()`` as Django's documentation shows.
* ``QUEUES`` left out accepts every queue name of letters, digits and ``_ . : -``.
* ``status`` becomes RUNNING for attempts that run longer than about 20 ms; shorter ones are READY, then finished.
* ``task_started`` is sent for every attempt, ``task_finished`` once at the end, and for an outcome that was
  decided without the task's process (a dead letter after crashes) not at all. A receiver that raises is logged,
  here and in ``enqueue()``; it changes nothing. If a worker is killed between ``task_finished`` and the write of the
  outcome, the task is run again, and the signal sent again.
* ``return_value`` in ``task_finished`` is what Django's ``normalize_json`` makes of it; a result that is read has been
  through JSON (``{1: 2}`` is ``{"1": 2}``).
* ``enqueued_at`` of the object that ``enqueue()`` returns is this process's clock; all times of a result that is read
  are the server's.
* Messages and tracebacks of errors are cut to 8 KiB of text.
* Results of successes are kept for 1 day, others for 7 (``result_expires``, ``failure_expires``), then
  ``TaskResultDoesNotExist`` is raised. Unfinished tasks never expire.
* A result whose task is not known in this process has a task of the right name that cannot be called.
"""

from __future__ import annotations

import threading
from functools import cached_property

from streamtasks import StoreSettings
from streamtasks.stores.redis import AsyncRedisStore, RedisStore

from ..enqueue.store_alias import Stores
from .base import StoreBackend

__all__ = ["RedisBackend"]

_stores: dict[StoreSettings, Stores] = {}
_lock = threading.Lock()


class RedisBackend(StoreBackend):
    """Keeps tasks and results on one Redis or Valkey server."""

    @cached_property
    def stores(self) -> Stores:
        """The store, the same one in the whole process."""
        settings = self.store_settings
        found = _stores.get(settings)
        if found is None:
            with _lock:
                plain = RedisStore(settings)
                found = _stores.setdefault(settings, Stores(plain, AsyncRedisStore(settings, plain.shards)))
        return found
