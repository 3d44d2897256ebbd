"""What several files of these tests use."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from streamtasks import Middleware, StreamTasks
from streamtasks.stores.memory import MemoryServer
from streamtasks.stores.types import Outcome
from streamtasks_workers.executor.runner import Runner
from streamtasks_workers.testing.in_process import InProcessWorker
from tests.support.attempts import Run, claimed, message

URL = "memory://in-process"


@pytest.fixture(params=["plain", "coroutine"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a function as a task of an app, plain and as a coroutine function, and return the outcome."""
    import asyncio

    def run_it(function: Callable[..., Any], *, middleware: list[Middleware] | None = None, **options: Any) -> Outcome:
        claim = options.pop("claim", {})
        call = options.pop("message", {})
        settings = options.pop("settings", {})
        app = StreamTasks(middleware=middleware or [], **settings)

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        register: Any = app.task(name="task", **options)
        register(function if request.param == "plain" else coroutine)
        runner = Runner(app, "w")
        prepared = runner.prepare(claimed(message(**call), **claim), time.monotonic_ns(), lambda data: None)
        assert prepared.outcome is None
        if request.param == "plain":
            return runner.run(prepared)
        with asyncio.Runner() as loop:
            return loop.run(runner.arun(prepared))

    return run_it


@pytest.fixture
def app() -> StreamTasks:
    """An app without tasks, on an empty store in memory."""
    MemoryServer.at(URL).flush()
    return StreamTasks(URL)


@pytest.fixture
def worker(app: StreamTasks) -> InProcessWorker:
    return InProcessWorker(app)


@pytest.fixture
def words() -> list[Any]:
    return []
