"""Fixtures for pytest, there as soon as streamtasks is installed. Nothing is imported before a test asks for one.

=======================  ===================================================================================
``streamtasks_memory``   tasks are kept in memory; ``run_until_idle()`` runs them, ``assert_enqueued()`` looks
``streamtasks_server``   the URL of an empty embedded server (``pip install streamtasks[embedded]``)
``streamtasks_worker``   a real worker process that serves the app on that server
``streamtasks_app``      the app that the others concern; override it, or name it in the ini option of this name
=======================  ===================================================================================

For plain Python name the app in pytest's configuration, as ``streamtasks_app = "shop.tasks:app"``. In a Django project
nothing has to be named: the fixtures concern the aliases of ``settings.TASKS`` that are ours.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from streamtasks import StreamTasks

    from .testing.embedded import EmbeddedServer
    from .testing.memory_tasks import MemoryTasks
    from .testing.worker_process import WorkerProcess

__all__ = ["pytest_addoption", "streamtasks_app", "streamtasks_memory", "streamtasks_server", "streamtasks_worker"]

_DJANGO = "streamtasks_django.testing"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our option."""
    parser.addini("streamtasks_app", "module:attribute of the StreamTasks app that streamtasks' fixtures concern")


@pytest.fixture
def streamtasks_app(request: pytest.FixtureRequest) -> StreamTasks | None:
    """The app that the other fixtures concern; None in a Django project."""
    path = request.config.getini("streamtasks_app")
    if path:
        from .app_loader import load

        return load(path, None, ())[0]  # type: ignore[return-value]  # named, it is a StreamTasks
    if "DJANGO_SETTINGS_MODULE" in os.environ or _django_is_configured():
        return None
    raise pytest.UsageError(
        'No app to test: set streamtasks_app = "module:attribute" in the configuration of pytest, or override the '
        "fixture streamtasks_app."
    )


def _django_is_configured() -> bool:
    conf = sys.modules.get("django.conf")
    return conf is not None and bool(conf.settings.configured)


@pytest.fixture
def streamtasks_memory(streamtasks_app: StreamTasks | None) -> Iterator[MemoryTasks | Any]:
    """Tasks in memory: `MemoryTasks` of `streamtasks_workers.testing`, or of `streamtasks_django.testing`."""
    if streamtasks_app is None:
        opened = importlib.import_module(_DJANGO).memory_tasks()
    else:
        from .testing.memory_tasks import memory_tasks

        opened = memory_tasks(streamtasks_app)
    with opened as tasks:
        yield tasks


@pytest.fixture(scope="session")
def _streamtasks_server() -> Iterator[EmbeddedServer]:
    from .testing.embedded import EmbeddedServer

    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def streamtasks_server(_streamtasks_server: EmbeddedServer) -> str:
    """The URL of an embedded server, started once and empty for each test."""
    import redis

    with redis.Redis.from_url(_streamtasks_server.url) as client:
        client.flushall()
    return _streamtasks_server.url


@pytest.fixture
def streamtasks_worker(
    streamtasks_app: StreamTasks | None, streamtasks_server: str, tmp_path: Path
) -> Iterator[WorkerProcess]:
    """A worker process with one child, on an empty server. The app, here and there, uses that server meanwhile."""
    from .testing.memory_tasks import at_url
    from .testing.worker_process import WorkerProcess, path_of

    log = tmp_path / "streamtasks-worker.log"
    if streamtasks_app is None:
        with (
            importlib.import_module(_DJANGO).served_tasks(streamtasks_server) as handed_over,
            WorkerProcess(streamtasks_server, "", log, handed_over) as worker,
        ):
            yield worker
        return
    with (
        at_url(streamtasks_app, streamtasks_server),
        WorkerProcess(streamtasks_server, path_of(streamtasks_app), log) as worker,
    ):
        yield worker
