"""The thread that runs tasks as they come: woken, not polling, and gone when it is told to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from streamtasks import State, StreamTasks
from streamtasks.stores.memory import MemoryServer
from streamtasks_workers.testing.background import BackgroundWorker
from streamtasks_workers.testing.in_process import InProcessWorker
from tests.support.waiting import wait_until

URL = "memory://in-background"


@pytest.fixture
def app() -> StreamTasks:
    MemoryServer.discard(URL)
    return StreamTasks(URL)


@pytest.fixture
def looks() -> list[float]:
    return []


@pytest.fixture
def background(app: StreamTasks, looks: list[float]) -> Iterator[BackgroundWorker]:
    class Counted(InProcessWorker):
        def next_due_s(self) -> float | None:
            looks.append(time.monotonic())
            return super().next_due_s()

    worker = BackgroundWorker(MemoryServer.at(URL), lambda: Counted(app), "the-thread")
    yield worker
    worker.stop()


@pytest.mark.usefixtures("background")
def test_it_starts_with_the_first_task_and_runs_all_there_are(app: StreamTasks) -> None:
    @app.task(name="where")
    def where() -> str:
        return threading.current_thread().name

    assert "the-thread" not in [thread.name for thread in threading.enumerate()]
    results = [where.enqueue() for _ in range(50)]
    assert {result.get(60) for result in results} == {"the-thread"}


@pytest.mark.usefixtures("background")
def test_it_sleeps_until_something_is_due(
    app: StreamTasks, looks: list[float], bound: Callable[[float], float]
) -> None:
    @app.task(name="note")
    def note() -> float:
        return time.monotonic()

    note.enqueue().get(60)
    began = time.monotonic()
    result = note.using(run_after=timedelta(seconds=0.3)).enqueue()
    assert 0.29 < result.get(60) - began < bound(2)
    assert len([at for at in looks if at > began]) <= 4, "nobody looked meanwhile"


@pytest.mark.usefixtures("background")
def test_a_clock_that_is_moved_wakes_it(app: StreamTasks) -> None:
    @app.task(name="note")
    def note() -> str:
        return "ran"

    result = note.using(run_after=timedelta(hours=1)).enqueue()
    MemoryServer.at(URL).clock.advance(3600)
    assert result.get(60) == "ran"


@pytest.mark.usefixtures("background")
def test_a_rate_limit_does_not_hold_up_others(app: StreamTasks) -> None:
    @app.task(name="slow", rate_limit="2/s")
    def slow() -> float:
        return time.monotonic()

    @app.task(name="free")
    def free() -> float:
        return time.monotonic()

    limited, other = [slow.enqueue() for _ in range(3)], free.enqueue()
    starts = [result.get(60) for result in limited]
    assert starts[2] - starts[0] > 0.75
    assert other.get(60) < starts[1]


def test_stopping_finishes_what_runs(app: StreamTasks, background: BackgroundWorker) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @app.task(name="long")
    def long() -> None:
        begun.set()
        go_on.wait(60)

    results: list[Any] = [long.enqueue(), long.enqueue()]
    assert begun.wait(60)
    stopping = threading.Thread(target=background.stop)
    stopping.start()
    wait_until(lambda: vars(background)["_stopping"], "it is told to stop")
    go_on.set()
    stopping.join(60)
    assert not stopping.is_alive()
    assert [result.snapshot().state for result in results] == [State.SUCCESS, State.QUEUED]
