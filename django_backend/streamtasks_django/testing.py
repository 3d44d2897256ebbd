"""Test code that enqueues tasks: keep them in memory, inspect them, run them.

::

    from streamtasks_django.testing import MemoryTasksMixin

    class OrderTests(MemoryTasksMixin, TestCase):
        def test_a_receipt_is_sent(self):
            self.client.post("/orders/", {"item": 7})
            self.tasks.assert_enqueued(send_receipt, args=[7], queue="mail")
            self.tasks.run_until_idle()
            self.assertEqual(len(mail.outbox), 1)

`memory_tasks` is the same as a context manager and as a decorator of tests and test classes, and the pytest fixture
``streamtasks_memory`` as well. While it is active, the functions and the list ``outbox`` of this module use the
innermost one, like ``mail.outbox``.

Tasks run on the test's own thread and database connection, inside its transaction. In a ``TestCase``,
tasks that are enqueued in ``transaction.on_commit()`` need ``captureOnCommitCallbacks(execute=True)``.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from django.conf import settings
from django.db import connections
from django.test import override_settings
from django.test.utils import TestContextDecorator
from django.utils.module_loading import import_string

from streamtasks.exceptions import StreamTasksError
from streamtasks.stores.memory import MemoryServer
from streamtasks_workers.testing.in_process import MOST_ATTEMPTS, InProcessWorker, Ran
from streamtasks_workers.testing.memory_tasks import Enqueued, KeptTasks, TaskOutbox

from .backends.base import StoreBackend
from .backends.memory import MemoryBackend, forget, worker_of
from .framework import InvalidTaskBackend, task_backends

__all__ = [
    "Enqueued",
    "MemoryTasks",
    "MemoryTasksMixin",
    "TaskOutbox",
    "arun_until_idle",
    "assert_enqueued",
    "assert_nothing_enqueued",
    "memory_tasks",
    "on_server",
    "run_until_idle",
    "served_tasks",
]

_ADDRESS: Final = frozenset({"connection", "connection_pool", "url"})
_PATH: Final = f"{MemoryBackend.__module__}.{MemoryBackend.__qualname__}"
_number = itertools.count(1)
_active: list[MemoryTasks] = []


class MemoryTasks(KeptTasks):
    """The tasks of a project in memory; all aliases share a clock."""

    def __init__(self, url: str) -> None:
        super().__init__(MemoryServer.at(url), [backend.store_settings.wire for backend in _memory_backends()])

    def worker(self) -> InProcessWorker:
        """See `KeptTasks.worker`."""
        backends = [backend for backend in _memory_backends() if backend.server is self.server]
        return worker_of(backends, own_connections=False)


class memory_tasks(TestContextDecorator):  # noqa: N801 - used like override_settings
    """Keep the tasks of all backends of this package in memory; only ``run_until_idle()`` runs them.

    A context manager that gives a `MemoryTasks`, and a decorator of functions and of ``TestCase`` classes; with
    ``attr_name`` it is an attribute of the class's tests, with ``kwarg_name`` an argument of the function. QUEUES and
    OPTIONS that concern no server stay as in ``settings.TASKS``. Aliases of other backends are left as they are.

    Args:
        max_tasks: most unfinished tasks; None: as the settings say, else any number.
    """

    def __init__(
        self, *, max_tasks: int | None = None, attr_name: str | None = None, kwarg_name: str | None = None
    ) -> None:
        super().__init__(attr_name=attr_name, kwarg_name=kwarg_name)
        self._max_tasks = max_tasks
        self._stacks: list[ExitStack] = []

    def enable(self) -> MemoryTasks:
        """Begin."""
        bound = "" if self._max_tasks is None else f"?max_tasks={self._max_tasks}"
        url = f"memory://django-test-{next(_number)}{bound}"
        with ExitStack() as stack:
            stack.callback(forget, url)
            stack.enter_context(override_settings(TASKS=_in_memory(url)))
            tasks = MemoryTasks(url)
            _active.append(tasks)
            stack.callback(_active.remove, tasks)
            self._stacks.append(stack.pop_all())
        return tasks

    def __enter__(self) -> MemoryTasks:  # type: ignore[override]  # the stubs know one decorator of Django's only
        return self.enable()

    def disable(self) -> None:
        """End."""
        self._stacks.pop().close()


@contextmanager
def served_tasks(url: str) -> Generator[dict[str, Any]]:
    """Keep the tasks of all backends on a server; yield the configuration of its worker.

    The worker uses the test's databases, so the test must commit data for its tasks (``TransactionTestCase``), and a
    database in this process's memory cannot be shared.
    """
    with override_settings(TASKS=on_server(settings.TASKS, url)):
        backends = [task_backends[alias] for alias in settings.TASKS]
        prefixes = [backend.store_settings.key_prefix for backend in backends if isinstance(backend, StoreBackend)]
        names = {alias: str(connections[alias].settings_dict["NAME"]) for alias in connections}
        yield {"url": url, "key_prefix": prefixes[0], "databases": names}


def on_server(tasks: Mapping[str, Any] | None, url: str) -> dict[str, Any]:
    """Return a TASKS setting with the backends of this package on another server."""
    found = {}
    for alias, params in (tasks or {}).items():
        backend = import_string(params["BACKEND"])
        if issubclass(backend, StoreBackend) and backend.needs_worker:
            options = {name: value for name, value in (params.get("OPTIONS") or {}).items() if name not in _ADDRESS}
            params = {**params, "OPTIONS": {**options, "url": url}}  # noqa: PLW2901
        found[alias] = params
    return found


class MemoryTasksMixin:
    """A mixin before ``TestCase``: each test has its tasks in memory, and `MemoryTasks` as ``self.tasks``."""

    tasks: MemoryTasks

    def run(self, result: Any = None) -> Any:
        """Run the test; see ``unittest.TestCase.run``."""
        with memory_tasks() as self.tasks:
            return super().run(result)  # type: ignore[misc]


def _in_memory(url: str) -> dict[str, Any]:
    """Return ``settings.TASKS`` with the backends of this package in memory."""
    found: dict[str, Any] = {}
    for alias, params in (settings.TASKS or {}).items():
        try:
            has_store = isinstance(task_backends[alias], StoreBackend)
        except InvalidTaskBackend:
            has_store = False
        found[alias] = _moved(params, url) if has_store else params
    if not found:
        found["default"] = {"BACKEND": _PATH, "OPTIONS": {"url": url, "autostart": False}}
    return found


def _moved(params: Mapping[str, Any], url: str) -> dict[str, Any]:
    options = params.get("OPTIONS") or {}
    kept = {name: value for name, value in options.items() if name in MemoryBackend.known_options}
    for name in ("key_prefix", "max_tasks"):  # prefixes of two servers may be the same
        kept.pop(name, None)
    return {**params, "BACKEND": _PATH, "OPTIONS": {**kept, "url": url, "autostart": False}}


def _memory_backends() -> list[MemoryBackend]:
    backends = [task_backends[alias] for alias in settings.TASKS]
    return [backend for backend in backends if isinstance(backend, MemoryBackend)]


def _innermost() -> MemoryTasks:
    if not _active:
        raise StreamTasksError("No memory_tasks() is active here: use it as a decorator or in a with statement.")
    return _active[-1]


def run_until_idle(*, most: int = MOST_ATTEMPTS) -> list[Ran]:
    """Run all tasks here and now; see `MemoryTasks.run_until_idle`."""
    return _innermost().run_until_idle(most=most)


async def arun_until_idle(*, most: int = MOST_ATTEMPTS) -> list[Ran]:
    """Run all tasks from an asynchronous test; see `MemoryTasks.run_until_idle`."""
    return await _innermost().arun_until_idle(most=most)


def assert_enqueued(task: Any, **expected: Any) -> list[Enqueued]:
    """Assert that a task was enqueued; see `TaskOutbox.assert_enqueued`."""
    return _innermost().assert_enqueued(task, **expected)


def assert_nothing_enqueued() -> None:
    """Assert that no task was enqueued."""
    _innermost().assert_nothing_enqueued()


def __getattr__(name: str) -> Any:
    if name == "outbox":
        return _innermost().outbox
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
