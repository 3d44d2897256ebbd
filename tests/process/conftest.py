"""A fleet for each test, and servers of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.failure_logs import show_log
from tests.support.fleet import Fleet


@pytest.fixture
def open_fleet(tmp_path: Path) -> Iterator[Callable[[str], Fleet]]:
    """Make fleets on servers of the test's own."""
    fleets: list[Fleet] = []

    def make(url: str) -> Fleet:
        fleets.append(Fleet(url, tmp_path))
        return fleets[-1]

    yield make
    for one in fleets:
        one.close()


@pytest.fixture
def fleet(embedded_url: str, open_fleet: Callable[[str], Fleet]) -> Fleet:
    """An empty server, an app and no worker yet."""
    return open_fleet(embedded_url)


@pytest.fixture
def own_server() -> Iterator[Callable[..., EmbeddedServer]]:
    """Start servers that the test may kill."""
    servers: list[EmbeddedServer] = []

    def start(**options: Any) -> EmbeddedServer:
        server = EmbeddedServer(**options)
        servers.append(server)
        server.start()
        show_log("own server", server.directory / "server.log")
        return server

    yield start
    for server in servers:
        server.stop()
