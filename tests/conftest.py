"""Servers for every test. Each is started once and emptied before each test that uses it."""

from __future__ import annotations

import gc
import warnings
from typing import TYPE_CHECKING

import pytest

from tests.support.servers import Cluster, flush, server_kinds, start_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streamtasks_workers.testing.embedded import EmbeddedServer

TIERS = ("topology", "browser", "chaos", "slow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the mark ``fast`` to every test that is in no other tier."""
    for item in items:
        if not any(item.get_closest_marker(tier) for tier in TIERS):
            item.add_marker(pytest.mark.fast)


@pytest.fixture(scope="session")
def _server_of_kind() -> Iterator[Callable[[str], EmbeddedServer]]:
    started: dict[str, EmbeddedServer] = {}

    def get(kind: str) -> EmbeddedServer:
        if kind not in started:
            started[kind] = start_server(kind)
        return started[kind]

    yield get
    for server in started.values():
        server.stop()


@pytest.fixture(params=server_kinds())
def server_url(request: pytest.FixtureRequest, _server_of_kind: Callable[[str], EmbeddedServer]) -> str:
    """An empty server: the test runs on the embedded Valkey and, where there is one, on a Redis too."""
    url = _server_of_kind(request.param).url
    flush(url)
    return url


@pytest.fixture(params=[*server_kinds(), "memory"])
def store_url(request: pytest.FixtureRequest, _server_of_kind: Callable[[str], EmbeddedServer]) -> str:
    """An empty store: as `server_url`, and the one in memory too. For tests that look at no key."""
    url = "memory://tests" if request.param == "memory" else _server_of_kind(request.param).url
    flush(url)
    return url


@pytest.fixture
def embedded_url(_server_of_kind: Callable[[str], EmbeddedServer]) -> str:
    """An empty server: the embedded Valkey only."""
    url = _server_of_kind("valkey").url
    flush(url)
    return url


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Cluster of three masters; what earlier tests left is still in it."""
    with Cluster() as started:
        yield started


@pytest.fixture
def cluster_url(cluster: Cluster) -> Iterator[str]:
    """The same Cluster, emptied."""
    cluster.flush()
    yield cluster.url
    # redis-py finds the nodes with clients that it leaves to the garbage collector, connected: collect them here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
