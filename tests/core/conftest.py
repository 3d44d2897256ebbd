"""Apps and stores on an empty server."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from streamtasks import StoreSettings, StreamTasks
from streamtasks.redis import AsyncRedisStore, RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


hypothesis.settings.register_profile("patient", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("patient")


@pytest.fixture
def app(server_url: str) -> StreamTasks:
    return StreamTasks(server_url, timeout_s=5.0)


class AnyStore:
    """A store of either kind, called in the same way: what is asynchronous runs on a loop of its own."""

    def __init__(self, kind: str, settings: StoreSettings) -> None:
        self.kind = kind
        self.settings = settings
        self._runner = asyncio.Runner()
        self._store: Any = RedisStore(settings) if kind == "sync" else AsyncRedisStore(settings)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *args, **kwargs: self._runner.run(found(*args, **kwargs))

    def close(self) -> None:
        self._runner.close()


@pytest.fixture(params=["sync", "async"])
def any_store(request: pytest.FixtureRequest) -> Iterator[Callable[..., AnyStore]]:
    """Make stores, each test once with `RedisStore` and once with `AsyncRedisStore`."""
    made: list[AnyStore] = []

    def make(url: str, **settings: Any) -> AnyStore:
        made.append(AnyStore(request.param, StoreSettings(url=url, **settings)))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(server_url: str, any_store: Callable[..., AnyStore]) -> AnyStore:
    """A store of either kind on an empty server."""
    return any_store(server_url, timeout_s=5.0)
