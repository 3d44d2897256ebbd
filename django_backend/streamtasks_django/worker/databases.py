"""Manage database and cache connections in workers: none crosses a fork, and each attempt begins with usable ones."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from typing import Any, override

from asgiref.sync import sync_to_async
from django.core.cache import caches
from django.db import close_old_connections, connections, reset_queries
from django.db.backends.signals import connection_created

from streamtasks import Attempt, AttemptOutcome, Middleware

__all__ = ["Databases", "close_all"]

_NOTHING: AbstractContextManager[None] = nullcontext()

_opened = False
"""Whether this process has opened a database connection. Until then nothing has to be closed, on any thread."""


def _note_opened(**_: Any) -> None:
    global _opened
    _opened = True


connection_created.connect(_note_opened, dispatch_uid="streamtasks.databases")


def close_all() -> None:
    """Close every connection of this thread, and connection pools: before a fork, and after one.

    The threads of a pool do not exist in a forked child, and two processes must not share a socket.
    """
    global _opened
    for connection in connections.all(initialized_only=True):
        connection.close()
        close_pool = getattr(connection, "close_pool", None)
        if close_pool is not None:
            close_pool()
    caches.close_all()
    _opened = False


class Databases(Middleware):
    """Close connections that are too old or broken before and after each attempt, on the thread that uses them.

    Django does the same around a request; ``CONN_MAX_AGE`` and ``CONN_HEALTH_CHECKS`` depend on it. All coroutine
    tasks use the database on the one thread of ``sync_to_async``. There a connection is closed for its age only while
    no other coroutine task runs, which might be reading rows.
    """

    def __init__(self) -> None:
        self._coroutines = 0

    @override
    def in_child(self) -> AbstractContextManager[None]:
        """Close all connections at the start and at the end of a child."""
        return _closed_at_both_ends()

    @override
    def around_run(self, attempt: Attempt) -> AbstractContextManager[None]:
        """Refresh connections before an attempt."""
        if _opened:
            _refresh()
        return _NOTHING

    @override
    def after_outcome(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """Refresh connections after an attempt and the receivers of its signals."""
        if _opened:
            _refresh()

    @override
    def around_run_async(self, attempt: Attempt) -> AbstractAsyncContextManager[None]:
        """Refresh connections before a coroutine task."""
        return self._around_coroutine()

    @asynccontextmanager
    async def _around_coroutine(self) -> AsyncGenerator[None]:
        if _opened:
            await sync_to_async(_refresh if self._coroutines == 0 else _drop_broken)()
        self._coroutines += 1
        try:
            yield
        finally:
            self._coroutines -= 1

    @override
    async def after_outcome_async(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """Refresh connections after a coroutine task and the receivers of its signals."""
        if _opened:
            await sync_to_async(_refresh if self._coroutines == 0 else _drop_broken)()


def _refresh() -> None:
    reset_queries()  # with DEBUG, Django keeps every query
    close_old_connections()
    for cache in caches.all(initialized_only=True):
        cache.close()


def _drop_broken() -> None:
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred:
            connection.close_if_unusable_or_obsolete()


@contextmanager
def _closed_at_both_ends() -> Generator[None]:
    close_all()
    try:
        yield
    finally:
        close_all()
