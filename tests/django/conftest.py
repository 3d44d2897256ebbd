"""Django, set up once for this folder; a server of its own and a worker that lives as long as the tests."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.django_site import SETTINGS, SITE, Worker
from tests.support.servers import server_kinds, start_server

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(SITE))
os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS

import django

django.setup()

from django.test import override_settings  # noqa: E402

from contract.options import tasks_setting  # noqa: E402


@pytest.fixture(scope="session", params=server_kinds())
def site_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that nobody empties while a worker serves it."""
    server = start_server(request.param)
    yield server.url
    server.stop()


@pytest.fixture
def site(site_url: str) -> Iterator[str]:
    """The project on the server; no worker serves these keys."""
    with override_settings(TASKS=tasks_setting(site_url, "idle:")):
        yield site_url


@pytest.fixture(scope="session")
def _worker(site_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("site")
    with Worker(folder, site_url, "served:", "--concurrency", "2", "--async-concurrency", "0") as worker:
        yield worker
    assert worker.process.returncode == 0, worker.logged()


@pytest.fixture
def worker(_worker: Worker, site_url: str) -> Iterator[Worker]:
    """The project on the server, with a worker."""
    with override_settings(TASKS=tasks_setting(site_url, "served:")):
        yield _worker
