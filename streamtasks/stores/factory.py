"""Open the store of settings: in memory, of a kind that another package has registered, or on Redis.

The client library of Redis is only loaded for that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ..exceptions import ConfigurationError
from ..settings import StoreSettings
from .base import AsyncStore, Store
from .memory import AsyncMemoryStore, MemoryStore
from .supervisor_store import SupervisorStore
from .survey_types import Survey

__all__ = [
    "StoreKind",
    "clock_ms",
    "introduce",
    "open_async_store",
    "open_store",
    "open_supervisor_store",
    "register",
    "survey",
]


class StoreKind(NamedTuple):
    """How the stores of a kind are opened: that of a child, of a producer on an event loop, and of a keeper."""

    plain: Callable[[StoreSettings], Store]
    asynchronous: Callable[[StoreSettings], AsyncStore]
    supervisor: Callable[[StoreSettings], SupervisorStore]


_kinds: Final[dict[str, StoreKind]] = {}


def register(scheme: str, kind: StoreKind) -> None:
    """Open the stores whose URL begins with ``scheme://`` this way: for packages that bring a store of their own."""
    _kinds[scheme] = kind


def _registered(settings: StoreSettings) -> StoreKind | None:
    """Return the registered kind of a store; None: it is on Redis.

    Raises:
        ConfigurationError: nobody has registered the kind that the URL names.
    """
    if not settings.is_sql:
        return None
    scheme = settings.url.partition("://")[0]
    if scheme not in _kinds:
        raise ConfigurationError(
            f"url is {settings.shown_url!r}, the tables of a DatabaseBackend: import "
            "streamtasks_django.backends.database first, as a process of the Django project does."
        )
    return _kinds[scheme]


def open_store(settings: StoreSettings) -> Store:
    """Return the store of a producer or a child; no connection is made yet."""
    if settings.is_memory:
        return MemoryStore(settings)
    if (kind := _registered(settings)) is not None:
        return kind.plain(settings)
    from .redis import RedisStore

    return RedisStore(settings)


def open_async_store(settings: StoreSettings) -> AsyncStore:
    """Return the store of a producer on an event loop."""
    if settings.is_memory:
        return AsyncMemoryStore(settings)
    if (kind := _registered(settings)) is not None:
        return kind.asynchronous(settings)
    from .redis import AsyncRedisStore

    return AsyncRedisStore(settings)


def open_supervisor_store(settings: StoreSettings) -> SupervisorStore:
    """Return the store of a supervisor, for the running event loop."""
    if settings.is_memory:
        return AsyncMemoryStore(settings)
    if (kind := _registered(settings)) is not None:
        return kind.supervisor(settings)
    from .redis import AsyncRedisStore

    return AsyncRedisStore(settings)


def survey(settings: StoreSettings) -> Survey:
    """Ask the servers of a store what a diagnosis needs; of one in memory or in SQL there is nothing to ask.

    Raises:
        StoreError: a server cannot be reached, or lets nobody in with these settings.
    """
    if settings.is_memory or settings.is_sql:
        return Survey()
    from .redis.survey import survey as of_servers

    return of_servers(settings)


def remove(
    settings: StoreSettings, queues: Sequence[str], ids: Sequence[str], consumers: Sequence[str], since_s: float
) -> str:
    """Remove all that a run on servers has left under a prefix of its own; see `redis.survey.removal.remove`.

    Raises:
        StoreError: a server cannot be reached.
    """
    from .redis.survey.removal import remove as of_servers

    return of_servers(settings, queues, ids, consumers, since_s)


def introduce(settings: StoreSettings) -> str:
    """Return version, role and persistence of a store's server in words. Never raises: it may be away."""
    if settings.is_memory:
        return "in the memory of this process"
    if settings.is_sql:
        return "tables of a database"
    from .redis.introduction import introduce as of_server

    return of_server(settings)


def clock_ms(store: Store) -> int:
    """Return the time of a store as this process knows it, ms since the epoch; tests move the clock in memory."""
    return store.server.clock.now_ms() if isinstance(store, MemoryStore) else time.time_ns() // 1_000_000
