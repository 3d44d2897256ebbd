"""Apps and stores on an empty server."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import redis

from streamtasks import StoreSettings, StreamTasks
from streamtasks.protocol.keys import Keys
from streamtasks.stores.factory import open_async_store, open_store
from streamtasks.stores.memory import MemoryServer
from tests.support.manual_consumer import Consumer
from tests.support.sql_stores import change_states
from tests.support.users import create_users, restore_users
from tests.support.workflow_site import WorkflowSite, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


hypothesis.settings.register_profile("patient", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("patient")


@pytest.fixture
def admin(server_url: str) -> Iterator[redis.Redis]:
    """A client with all rights to a server that has a user for each role."""
    create_users(server_url)
    with redis.Redis.from_url(server_url, decode_responses=True) as client:
        yield client
    restore_users(server_url)


@pytest.fixture
def app(store_url: str) -> StreamTasks:
    return StreamTasks(store_url, timeout_s=60.0, enqueue_timeout_s=60.0)


class AnyStore:
    """A store of either kind, called in the same way: what is asynchronous runs on a loop of its own."""

    def __init__(self, kind: str, settings: StoreSettings) -> None:
        self.kind = kind
        self.settings = settings
        self._runner = asyncio.Runner()
        self._store: Any = open_store(settings) if kind == "sync" else open_async_store(settings)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *args, **kwargs: self._runner.run(found(*args, **kwargs))

    def close(self) -> None:
        self._runner.close()


@pytest.fixture(params=["sync", "async"])
def any_store(request: pytest.FixtureRequest) -> Iterator[Callable[..., AnyStore]]:
    """Make stores, each test once with a plain one and once with an asynchronous one."""
    made: list[AnyStore] = []

    def make(url: str, **settings: Any) -> AnyStore:
        made.append(AnyStore(request.param, StoreSettings(url=url, **settings)))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(store_url: str, any_store: Callable[..., AnyStore]) -> AnyStore:
    """An empty store of either kind."""
    return any_store(store_url, timeout_s=60.0, enqueue_timeout_s=60.0)


@pytest.fixture
def redis_store(server_url: str, any_store: Callable[..., AnyStore]) -> AnyStore:
    """A store of either kind on an empty server, for tests that look at its keys."""
    return any_store(server_url, timeout_s=60.0, enqueue_timeout_s=60.0)


@pytest.fixture
def hand(store: AnyStore) -> Iterator[Consumer]:
    """A child by hand, of the store of the test."""
    with Consumer(open_store(store.settings)) as opened:
        yield opened


@pytest.fixture
def end_leases() -> Callable[[StoreSettings, set[str]], None]:
    """Let the leases of these tokens end now, as if their holders had been silent."""

    def end(settings: StoreSettings, tokens: set[str]) -> None:
        [tag] = settings.tags
        if settings.is_memory:
            leases = MemoryServer.at(settings.url).shard(settings, tag).leases
            leases.update((token, 1) for token in tokens if token in leases)
            return
        if settings.is_sql:
            change_states(settings, [f"lease:{token}" for token in tokens], lambda _: 1)
            return
        with redis.Redis.from_url(settings.url) as client:
            client.zadd(Keys(settings.key_prefix, tag).leases, dict.fromkeys(tokens, 1), xx=True)

    return end


@pytest.fixture
def site(store_url: str) -> Iterator[WorkflowSite]:
    """Tasks for workflows on an empty store, and who runs them by hand."""
    told.clear()
    made = WorkflowSite(store_url)
    with made.worker:
        yield made
