"""The role that adds what a worker has counted to the series for charts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streamtasks import StoreSettings
from streamtasks.exceptions import StoreUnavailable
from streamtasks.protocol.callback_message import CALLBACK
from streamtasks.protocol.series import ALL, of_queue, of_task
from streamtasks.stores.series_types import NewSeries
from streamtasks_workers.process.counters import Counters
from streamtasks_workers.process.options import WorkerOptions
from streamtasks_workers.process.worker_counters import WorkerCounters
from streamtasks_workers.roles import ROLES, series_recorder
from streamtasks_workers.roles.base import ServedApp
from streamtasks_workers.roles.series_recorder import SeriesRecorder

NOW_MS = 1_700_000_000_000


class Kept:
    """A store that keeps what is added, or is away."""

    def __init__(self) -> None:
        self.added: list[NewSeries] = []
        self.releases: list[tuple[str, str]] = []
        self.is_away = False

    async def add_series(self, new: NewSeries) -> None:
        self.added.append(new)
        if self.is_away:
            raise StoreUnavailable("away")

    async def note_release(self, project: str, release: str) -> None:
        self.releases.append((project, release))


def run(counters: Counters, task: str, count: int = 1) -> None:
    for _ in range(count):
        counters.started(0, "0:q", task, NOW_MS, f"{NOW_MS}-0")
        counters.finished(0, "SUCCESS", 10**6)
    counters.flush()


async def test_minute_by_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    made = SimpleNamespace(monotonic=lambda: clock[0], time=lambda: clock[0], monotonic_ns=lambda: int(clock[0] * 1e9))
    monkeypatch.setattr(series_recorder, "time", made)
    store: Any = Kept()
    options = WorkerOptions(release="4.2")
    app = ServedApp("shop", StoreSettings(), store, options, worker="w", release=options.release)
    assert SeriesRecorder in ROLES
    assert not SeriesRecorder.serves(app), "a worker in the process of a test counts nothing"
    mine, others = Counters(), Counters()
    app.counters = WorkerCounters((mine, others))
    app.counted.add(0)
    children: dict[int, Any] = app.children
    children[0] = "lives"
    role = SeriesRecorder(app)

    async def pass_s(seconds: float) -> None:
        until = clock[0] + seconds
        while clock[0] < until:
            wait_s: Any = await role.run_once()
            clock[0] = min(until, clock[0] + wait_s)

    run(mine, "add", 3)
    run(mine, CALLBACK)
    run(others, "add", 9)
    await pass_s(4)
    assert store.added == []
    [(project, release)] = store.releases
    assert project == "shop"
    assert release.startswith("4.2, streamtasks ")
    await pass_s(120)
    [new] = store.added
    assert (new.worker, [name for name, _ in new.counts]) == ("w", [ALL, of_queue("q"), of_task("add")])
    assert {counts for _, counts in new.counts} == {"a3e3g3y3"}
    assert 2_500 <= new.age_ms <= 6_000, "the middle of the time in which it was counted"
    store.is_away = True
    run(mine, "add", 2)
    with pytest.raises(StoreUnavailable):
        await pass_s(120)
    store.is_away = False
    run(mine, "add", 1)
    await role.leave()
    first, again, last = store.added[1:]
    assert (first.number, first.counts) == (again.number, again.counts), "with the same number: once in the store"
    assert new.number < again.number < last.number
    assert last.counts[0][1].startswith("a1")
    assert len(store.releases) == 1
