"""The one place that knows which store settings mean. Workers and apps open theirs here."""

from __future__ import annotations

import time

from ..settings import StoreSettings
from .base import AsyncStore, Store, SupervisorStore
from .memory import AsyncMemoryStore, MemoryStore
from .redis import AsyncRedisStore, RedisStore

__all__ = ["clock_ms", "open_async_store", "open_store", "open_supervisor_store"]


def open_store(settings: StoreSettings) -> Store:
    """Return the store of a producer or a child; no connection is made yet."""
    return MemoryStore(settings) if settings.is_memory else RedisStore(settings)


def open_async_store(settings: StoreSettings) -> AsyncStore:
    """Return the store of a producer on an event loop."""
    return AsyncMemoryStore(settings) if settings.is_memory else AsyncRedisStore(settings)


def open_supervisor_store(settings: StoreSettings) -> SupervisorStore:
    """Return the store of a supervisor, for the running event loop."""
    return AsyncMemoryStore(settings) if settings.is_memory else AsyncRedisStore(settings)


def clock_ms(store: Store) -> int:
    """Return what this process takes for the time of a store, ms since the epoch: in memory, its clock may be moved."""
    return store.server.clock.now_ms() if isinstance(store, MemoryStore) else time.time_ns() // 1_000_000
