"""Tasks in the memory of this process: for development without a server, and for tests. Not for production.

::

    TASKS = {
        "default": {
            "BACKEND": "streamtasks_django.backends.memory.MemoryBackend",
            "OPTIONS": {"max_tasks": 1000},
        }
    }

Retries, delays, priorities, rate limits and revocation work as on `RedisBackend`. OPTIONS are those of
`streamtasks_django.conf.options` that do not concern a server, and:

=============  ====================================================================================
``max_tasks``  most unfinished tasks (1000); ``enqueue()`` beyond it raises ``StoreFull``. As many finished
               tasks are kept; the oldest are deleted first
``autostart``  True: a thread of this process runs the tasks. False: only
               ``run_until_idle()`` runs them, on the thread that calls it (for tests; see `streamtasks_django.testing`)
=============  ====================================================================================

Differences from a worker process:

* Tasks end with the process. A management command that only enqueues ends before its tasks run.
* Each process has its own tasks: with several web processes, a result can only be read in the one that enqueued it.
* With ``outbox``, calls wait for the commit in this process, as with ``on_commit``.
* ``durability`` of tasks and calls is accepted and has no effect.
* Time limits and ``revoke(terminate=True)`` are raised in the task at its next bytecode, or where a coroutine awaits.
  A blocking call is not interrupted: that takes a process to kill.
* The thread has database connections of its own. In a ``TestCase`` it would not see the test's transaction: set
  ``autostart`` to False there. ``run_until_idle()`` uses the connections of the thread that calls it, as they are.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final, override

from asgiref.sync import async_to_sync, sync_to_async

from streamtasks import ConfigurationError, StoreSettings
from streamtasks.protocol.validation import check_count
from streamtasks.results.waits import is_refused
from streamtasks.stores.memory import AsyncMemoryStore, MemoryServer, MemoryStore
from streamtasks_workers.testing.background import BackgroundWorker
from streamtasks_workers.testing.in_process import MOST_ATTEMPTS, InProcessWorker, Ran

from ..conf.options import OPTIONS, store_settings
from ..conf.transactions import commit_database, outbox_database
from ..enqueue.store_alias import Stores
from .base import StoreBackend

__all__ = ["MemoryBackend", "forget", "worker_of"]

MAX_TASKS: Final = 1000
_SERVER_OPTIONS: Final = frozenset(
    {
        "connection",
        "connection_pool",
        "durability",
        "durability_timeout",
        "enqueue_timeout",
        "max_connections",
        "replicas",
        "result_model",
        "timeout",
        "url",
        "worker",
    }
)
_SCHEME: Final = "memory://"

_settings_of: dict[str, tuple[Mapping[str, Any], StoreSettings]] = {}
_stores: dict[StoreSettings, Stores] = {}
_threads: dict[StoreSettings, BackgroundWorker] = {}
_lock = threading.Lock()


class MemoryBackend(StoreBackend):
    """Keep tasks and results in this process, and run them in it."""

    known_options = (OPTIONS - _SERVER_OPTIONS) | {"autostart", "max_tasks"}
    needs_worker = False

    @property
    def autostart(self) -> bool:
        """Whether a thread of this process runs the tasks."""
        return bool((self.params.get("OPTIONS") or {}).get("autostart", True))

    @cached_property
    def store_settings(self) -> StoreSettings:
        """The engine's settings.

        Raises:
            ConfigurationError: OPTIONS has a wrong value.
        """
        known = _settings_of.get(self.alias)
        if known is None or known[0] is not self.params:
            known = _settings_of[self.alias] = (self.params, self.read_settings())
        return known[1]

    @override
    def read_settings(self) -> StoreSettings:
        options = dict(self.params.get("OPTIONS") or {})
        max_tasks = options.pop("max_tasks", MAX_TASKS)
        check_count("max_tasks", max_tasks, ConfigurationError, least=1)
        autostart = options.pop("autostart", True)
        if not isinstance(autostart, bool):
            raise ConfigurationError(f"autostart is {autostart!r}; it must be True or False.")
        for name in ("connection", "connection_pool", "url"):
            value = options.get(name)
            if value is not None and not (isinstance(value, str) and value.startswith(_SCHEME)):
                raise ConfigurationError(f"{name} is given, but MemoryBackend has no server; use RedisBackend.")
        options.setdefault("url", f"{_SCHEME}django/{self.alias}/{max_tasks}?max_tasks={max_tasks}")
        return store_settings(self.alias, options)

    @cached_property
    @override
    def outbox_database(self) -> None:
        """None: what is in memory needs no outbox."""

    @cached_property
    @override
    def commit_database(self) -> str | None:
        """The database whose transactions hold calls back: that of ``on_commit``, or of ``outbox``.

        Raises:
            ConfigurationError: an option has a wrong value.
        """
        options = self.params.get("OPTIONS") or {}
        return outbox_database(options) or commit_database(options)

    @cached_property
    def stores(self) -> Stores:
        """The store, shared by the whole process."""
        settings = self.store_settings
        with _lock:
            found = _stores.get(settings)
            if found is None:
                asynchronous = AsyncMemoryStore(settings)
                found = _stores[settings] = Stores(asynchronous.plain, asynchronous)
            if self.autostart and settings not in _threads:
                name = f"streamtasks-{self.alias}"
                _threads[settings] = BackgroundWorker(server_of(found), self._worker, name)
        return found

    @property
    def server(self) -> MemoryServer:
        """The holder of the tasks; its ``clock`` can be moved."""
        return server_of(self.stores)

    def run_until_idle(self, *, most: int = MOST_ATTEMPTS) -> list[Ran]:
        """Run all tasks on this thread, and the tasks that they enqueue; the clock jumps to the next due time.

        Args:
            most: upper bound of attempts, all tasks together.

        Returns:
            Each attempt, in order: ``(id, task, attempt, state)``.

        Raises:
            NeverIdle: tasks are left after ``most`` attempts.
        """
        return self._worker(own_connections=False).run_until_idle(most=most)

    async def arun_until_idle(self, *, most: int = MOST_ATTEMPTS) -> list[Ran]:
        """Run all tasks from an event loop, plain ones on the thread of ``sync_to_async``; see `run_until_idle`."""
        return await self._worker(own_connections=False).arun_until_idle(most=most)

    def run_ready(self) -> list[Ran]:
        """Run the tasks that are due now, and the tasks that they enqueue; delayed ones stay."""
        return self._worker(own_connections=False).run_ready()

    @override
    def wait_for_results(self, ids: Sequence[str], timeout: float | None, *, allow_wait: bool = False) -> set[str]:
        """Wait until at least one task is finished; without ``autostart`` and a timeout, return at once."""
        return super().wait_for_results(ids, self._longest_wait(timeout, allow_wait), allow_wait=allow_wait)

    @override
    async def await_for_results(
        self,
        ids: Sequence[str],
        timeout: float | None,
        *,
        allow_wait: bool = False,
    ) -> set[str]:
        """Wait without blocking the event loop; see `wait_for_results`."""
        return await super().await_for_results(ids, self._longest_wait(timeout, allow_wait), allow_wait=allow_wait)

    def _longest_wait(self, timeout: float | None, allow_wait: bool) -> float | None:
        if timeout is not None or self.autostart or is_refused(timeout, allow_wait=allow_wait):
            return timeout
        return 0

    def _worker(self, *, own_connections: bool = True) -> InProcessWorker:
        return worker_of([self], own_connections=own_connections)


def worker_of(backends: Sequence[MemoryBackend], *, own_connections: bool) -> InProcessWorker:
    """Return a worker for the tasks of backends that share a store.

    ``own_connections``: it runs on its own thread with its own database connections, which it refreshes; otherwise the
    connections of its callers stay as they are.
    """
    from ..worker.application import DjangoApplication

    applications: list[Any] = [DjangoApplication(one, own_connections=own_connections) for one in backends]
    return InProcessWorker(
        *applications,
        # As Django runs asynchronous views: `sync_to_async` in a coroutine uses the caller's thread, with its database
        # connection.
        run_coroutine=async_to_sync(_awaited),
        run_plain=lambda run: sync_to_async(run)(),
    )


async def _awaited(coroutine: Any) -> Any:
    return await coroutine


def forget(url: str) -> None:
    """Drop a store and its tasks; it must not be used any more."""
    with _lock:
        for settings in [settings for settings in _stores if settings.url == url]:
            del _stores[settings]
    MemoryServer.discard(url)


def server_of(stores: Stores) -> MemoryServer:
    """Return the holder of the tasks of these stores."""
    assert isinstance(stores.plain, MemoryStore)
    return stores.plain.server
