"""Each way to seal what crosses a store."""

from __future__ import annotations

from typing import Any

import pytest

from streamtasks import StreamTasks
from streamtasks_workers.testing.in_process import InProcessWorker
from tests.support.sealed_app import SEEN, WAYS, app_of, server


@pytest.fixture(autouse=True)
def empty() -> None:
    server().flush()
    SEEN.clear()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    return WAYS[request.param] | {"require_signed": True}


@pytest.fixture
def app(way: dict[str, Any]) -> StreamTasks:
    return app_of(**way)


@pytest.fixture
def worker(app: StreamTasks) -> InProcessWorker:
    return InProcessWorker(app)
