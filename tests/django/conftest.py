"""Django, set up once for this folder; a server of its own and a worker that lives as long as the tests."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.django_site import SETTINGS, SITE, DjangoWorker
from tests.support.servers import flush, server_kinds, start_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from streamtasks.stores.types import NewMessage
    from streamtasks_workers.testing.embedded import EmbeddedServer

sys.path.insert(0, str(SITE))
os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS

import django

django.setup()

from asgiref.sync import sync_to_async  # noqa: E402
from django.db import connections  # noqa: E402
from django.db.backends.base.base import BaseDatabaseWrapper  # noqa: E402
from django.tasks import task_backends  # noqa: E402
from django.test import override_settings  # noqa: E402

from contract.options import tasks_setting  # noqa: E402
from streamtasks_django.backends.memory import forget  # noqa: E402
from tests.support.manual_consumer import Consumer  # noqa: E402

MEMORY_URL = "memory://control"


@pytest.fixture(scope="session")
def _site_server() -> Iterator[Callable[[str], str]]:
    started: dict[str, EmbeddedServer] = {}

    def get(kind: str) -> str:
        if kind not in started:
            started[kind] = start_server(kind)
        return started[kind].url

    yield get
    for server in started.values():
        server.stop()


@pytest.fixture(scope="session", params=server_kinds())
def site_url(request: pytest.FixtureRequest, _site_server: Callable[[str], str]) -> str:
    """A server that nobody empties while a worker serves it."""
    return _site_server(request.param)


@pytest.fixture(scope="session")
def embedded_site_url(_site_server: Callable[[str], str]) -> str:
    """The same, on the embedded Valkey only: for what happens in the worker, whatever server it works on."""
    return _site_server("valkey")


@pytest.fixture(params=[*server_kinds(), "memory"])
def site(request: pytest.FixtureRequest, _site_server: Callable[[str], str]) -> Iterator[str]:
    """The project on a server, or in memory; no worker serves these keys."""
    url = "memory://django-site" if request.param == "memory" else _site_server(request.param)
    with override_settings(TASKS=tasks_setting(url, "idle:")):
        yield url


@pytest.fixture(params=["server", "memory"])
def server_and_memory(request: pytest.FixtureRequest, site_url: str) -> Iterator[None]:
    """The project on an emptied server, then in memory; no worker serves either."""
    if request.param == "memory":
        backend = {"BACKEND": "streamtasks_django.backends.memory.MemoryBackend"}
        options = {"autostart": False, "url": MEMORY_URL}
        setting = {"default": {**backend, "OPTIONS": options}, "strict": {**backend, "QUEUES": ["default", "mail"]}}
        with override_settings(TASKS=setting):
            yield
            forget(MEMORY_URL)
    else:
        with override_settings(TASKS=tasks_setting(site_url, "control:")):
            flush(site_url)
            yield


@pytest.fixture
async def orm_thread() -> AsyncIterator[None]:
    """Closes the database connections of the thread of sync_to_async, also those to databases in memory."""
    yield
    await sync_to_async(_close_connections)()


def _close_connections() -> None:
    for connection in connections.all(initialized_only=True):
        BaseDatabaseWrapper.close(connection)


@pytest.fixture
def hand() -> Iterator[Consumer]:
    """Claims and settles in the test's own process."""
    backend: Any = task_backends["default"]
    with Consumer(backend.stores.plain) as opened:
        yield opened


@pytest.fixture(scope="session")
def _worker(site_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DjangoWorker]:
    folder = tmp_path_factory.mktemp("site")
    with DjangoWorker(folder, site_url, "served:", "--concurrency", "2", "--async-concurrency", "0") as worker:
        yield worker
    assert worker.process.returncode == 0, worker.logged()


@pytest.fixture
def worker(_worker: DjangoWorker, site_url: str) -> Iterator[DjangoWorker]:
    """The project on the server, with a worker."""
    with override_settings(TASKS=tasks_setting(site_url, "served:")):
        yield _worker


@pytest.fixture
def patience() -> list[Any]:
    """The patience of each call of the fixture `sent`, seconds."""
    return []


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, patience: list[Any]) -> list[NewMessage]:
    """What the store is given, and it gets it."""
    found: list[NewMessage] = []
    for alias in ("default", "strict"):
        backend: Any = task_backends[alias]
        store = backend.stores.plain
        real = store.enqueue

        def enqueue(messages: Any, retry_time_s: Any = None, real: Any = real) -> Any:
            found.extend(messages)
            patience.append(retry_time_s)
            return real(messages, retry_time_s)

        monkeypatch.setattr(store, "enqueue", enqueue)
    return found
