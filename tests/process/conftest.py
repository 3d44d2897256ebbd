"""A fleet to work in for each test, the logs of its workers when it fails."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.fleet import Fleet

_FIELDS = pytest.StashKey[list[Fleet]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the workers' logs where a test failed."""
    report = yield
    if report.failed:
        for one in item.stash.get(_FIELDS, []):
            for number, worker in enumerate(one.workers):
                report.sections.append((f"log of worker {number}", worker.log[-20_000:]))
    return report


@pytest.fixture
def open_fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Fleet]]:
    """Make fleets on servers of the test's own."""
    fleets: list[Fleet] = []
    request.node.stash[_FIELDS] = fleets

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
        return server

    yield start
    for server in servers:
        server.stop()
