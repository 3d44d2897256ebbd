"""The role that fires and declares schedules, with definitions for it, on a store in memory."""

from __future__ import annotations

from array import array
from typing import Any

from streamtasks import StoreSettings, StreamTasks
from streamtasks.schedules import every
from streamtasks.schedules.definition import Definition
from streamtasks.stores.memory import AsyncMemoryStore
from streamtasks_workers.process.options import WorkerOptions
from streamtasks_workers.roles.base import ServedApp
from streamtasks_workers.roles.scheduler import Scheduler

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
SETTINGS = StoreSettings(url="memory://scheduler")


def definition(name: str, seconds: float = 60, misfire: str = "one", *args: Any) -> Definition:
    app = StreamTasks("memory://scheduler")
    task = app.task(name="report")(lambda *_: None)
    return Definition.of(name, every(seconds), task.resolve(task.s(*args), "u0"), misfire)


def scheduler(store: Any, *schedules: Definition, loaded_ms: int = 0, label: str = "shop") -> Scheduler:
    return scheduler_of(store, memoryview(array("Q", [loaded_ms])), *schedules, label=label)


def scheduler_of(store: Any, loaded_ms: memoryview, *schedules: Definition, label: str = "shop") -> Scheduler:
    app = ServedApp(label, SETTINGS, store, WorkerOptions(), schedules=schedules, loaded_ms=loaded_ms)
    return Scheduler(app, "u0")


async def names(store: AsyncMemoryStore) -> list[str]:
    return [found.name for found in await store.list_schedules()]


class Away:
    """A store that cannot be reached at first."""

    def __init__(self, store: AsyncMemoryStore, fails: str) -> None:
        self._store = store
        self.fails = fails

    def __getattr__(self, name: str) -> Any:
        if name == self.fails:
            raise ConnectionError(name)
        return getattr(self._store, name)
