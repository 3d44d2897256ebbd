"""Schedules whose tasks are run in-process: by the store's clock, which never jumps to an occurrence."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from streamtasks import Retry, StreamTasks
from streamtasks.schedules import every
from streamtasks.stores.memory import MemoryServer
from streamtasks_workers.testing.background import BackgroundWorker
from streamtasks_workers.testing.in_process import InProcessWorker

numbers = itertools.count()


@pytest.fixture
def app() -> Iterator[StreamTasks]:
    url = f"memory://schedules{next(numbers)}"
    yield StreamTasks(url)
    MemoryServer.discard(url)


def runs(worker: InProcessWorker) -> list[str]:
    return [ran.task for ran in worker.run_until_idle()]


def test_what_code_declares_is_fired_when_the_clock_gets_there(app: StreamTasks) -> None:
    seen: list[int] = []
    app.task(name="tick", schedule=every(3600))(lambda: seen.append(1))
    worker = InProcessWorker(app)
    assert runs(worker) == [], "there is no end to schedules: none is waited for"
    worker.clock.advance(3600)
    assert runs(worker) == ["tick"]
    assert runs(worker) == []
    worker.clock.advance(5 * 3600)
    assert runs(worker) == ["tick"], "of many that were missed, one"
    [found] = app.store.list_schedules()
    assert (found.declared, found.fired, found.missed) == (app.label, 2, 4)


def test_one_that_is_made_later(app: StreamTasks) -> None:
    app.task(name="tick")(lambda number: number)
    worker = InProcessWorker(app)
    assert runs(worker) == []
    app.schedules.create("mine", app.tasks["tick"].s(7), every(60), misfire="all")
    worker.clock.advance(180)
    ran = worker.run_until_idle()
    assert [one.task for one in ran] == ["tick"] * 3
    assert app.get_result(ran[0].id).get(timeout=0) == 7
    app.schedules.pause("mine")
    worker.clock.advance(180)
    assert runs(worker) == []


def test_a_jump_to_a_delayed_task_fires_what_is_due_on_the_way(app: StreamTasks) -> None:
    app.task(name="tick", schedule=every(3600))(lambda: None)
    app.task(name="later")(lambda: None)
    worker = InProcessWorker(app)
    assert runs(worker) == []
    app.tasks["later"].using(run_after=timedelta(days=2)).enqueue()
    assert sorted(runs(worker)) == ["later", "tick"]


def test_two_apps_in_one_store(app: StreamTasks) -> None:
    other = StreamTasks(app.settings.url, label="other", key_prefix="other:")
    for one in (app, other):
        one.task(name=f"tick of {one.label}", schedule=every(60))(lambda: None)
    worker = InProcessWorker(app, other)
    worker.run_until_idle()
    worker.clock.advance(60)
    assert sorted(runs(worker)) == ["tick of app", "tick of other"]


class Told(threading.Event):
    """Set by a task; it lets the first attempt fail, so that there is something delayed, too."""

    def tick(self) -> Any:
        if not self.is_set():
            self.set()
            raise Retry("again", delay_s=0.01)


def test_the_thread_wakes_for_an_occurrence(app: StreamTasks) -> None:
    told, again = Told(), threading.Event()
    app.task(name="tick")(told.tick)
    app.task(name="again")(again.set)
    worker = BackgroundWorker(MemoryServer.at(app.settings.url), lambda: InProcessWorker(app), "schedules")
    try:
        app.schedules.create("fast", app.tasks["tick"].s(), every(0.1))
        assert told.wait(60), "a new schedule wakes it, and its time"
        app.schedules.create("slow", app.tasks["again"].s(), every(3600))
        app.schedules.delete("fast")
        MemoryServer.at(app.settings.url).clock.advance(3600)
        assert again.wait(60), "and the clock that was moved"
    finally:
        worker.stop()
