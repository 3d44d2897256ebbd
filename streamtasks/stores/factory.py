"""Open the store of settings: in memory, or on Redis, whose client library is only loaded for that."""

from __future__ import annotations

import time

from ..settings import StoreSettings
from .base import AsyncStore, Store
from .memory import AsyncMemoryStore, MemoryStore
from .supervisor_store import SupervisorStore
from .survey_types import Survey

__all__ = ["clock_ms", "open_async_store", "open_store", "open_supervisor_store", "survey"]


def open_store(settings: StoreSettings) -> Store:
    """Return the store of a producer or a child; no connection is made yet."""
    if settings.is_memory:
        return MemoryStore(settings)
    from .redis import RedisStore

    return RedisStore(settings)


def open_async_store(settings: StoreSettings) -> AsyncStore:
    """Return the store of a producer on an event loop."""
    if settings.is_memory:
        return AsyncMemoryStore(settings)
    from .redis import AsyncRedisStore

    return AsyncRedisStore(settings)


def open_supervisor_store(settings: StoreSettings) -> SupervisorStore:
    """Return the store of a supervisor, for the running event loop."""
    if settings.is_memory:
        return AsyncMemoryStore(settings)
    from .redis import AsyncRedisStore

    return AsyncRedisStore(settings)


def survey(settings: StoreSettings) -> Survey:
    """Ask the servers of a store what a diagnosis needs; of a store in memory there is nothing to ask.

    Raises:
        StoreError: a server cannot be reached, or lets nobody in with these settings.
    """
    if settings.is_memory:
        return Survey()
    from .redis.survey import survey as of_servers

    return of_servers(settings)


def clock_ms(store: Store) -> int:
    """Return the time of a store as this process knows it, ms since the epoch; tests move the clock in memory."""
    return store.server.clock.now_ms() if isinstance(store, MemoryStore) else time.time_ns() // 1_000_000
