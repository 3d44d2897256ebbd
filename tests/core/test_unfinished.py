"""A wait that runs out of time names what a queued task lacks."""

from __future__ import annotations

from typing import Any

import pytest

from streamtasks import StreamTasks
from streamtasks.protocol.message import Message
from streamtasks.protocol.state import Snapshot, State
from streamtasks.results import unfinished
from streamtasks.stores.factory import open_supervisor_store
from streamtasks.stores.inspection_types import WorkerInfo
from tests.support.servers import silence

QUEUED = Snapshot("id", State.QUEUED, Message(id="id", task="t", queue="mail").encode(1000), 0)


def worker(mode: str, *queues: str, silent_ms: int = 0) -> WorkerInfo:
    return WorkerInfo("w", 0, {"queue_mode": mode, "queues": list(queues)}, silent_ms)


def late(workers: list[WorkerInfo] | None, snapshot: Snapshot = QUEUED, url: str = "redis://127.0.0.1:1") -> str:
    error = unfinished._error  # pyright: ignore[reportPrivateUsage]
    return str(error(StreamTasks(url).owner, snapshot, 2, snapshot.state.value, workers))


@pytest.mark.parametrize(
    ("workers", "text"),
    [
        ([], "; no worker serves it (no worker is running: start streamtasks-worker)."),
        (
            [worker("only", "a"), worker("only", "b", "a")],
            "; no worker serves it (workers running: 2, which serve a, b).",
        ),
        ([worker("except", "mail")], "; no worker serves it (workers running: 1)."),
        ([worker("only", "a"), worker("only", "mail")], "."),
        ([worker("all", silent_ms=30_000)], "."),
        ([worker("all", silent_ms=30_001)], "; no worker serves it (no worker is running: start streamtasks-worker)."),
        (
            [worker("only", "a", silent_ms=5_000), worker("only", "mail", silent_ms=599_000)],
            "; no worker serves it (workers running: 1, which serve a).",
        ),
        ([worker("except", "a")], "."),
        ([worker("all")], "."),
        ([WorkerInfo("of another release", 0, {})], "."),
        (None, "."),
    ],
)
def test_a_queue_without_a_worker_is_named(workers: list[WorkerInfo] | None, text: str) -> None:
    assert late(workers) == f"Task id was not finished within 2 s; it is QUEUED, queued in 'mail'{text}"


async def test_a_killed_worker_does_not_count(store_url: str) -> None:
    app = StreamTasks(store_url)
    result = app.task(name="t", queue="mail")(print).enqueue()
    keeper = open_supervisor_store(app.settings)
    for name in ("killed", "other"):
        await keeper.beat("u0", name, {"queue_mode": "only", "queues": ["mail" if name == "killed" else "a"]})
    with pytest.raises(TimeoutError) as living:
        await result.aget(0)
    silence(app.settings, "killed", 31_000)
    with pytest.raises(TimeoutError) as killed:
        await result.aget(0)
    if app.settings.is_memory:
        assert "run_until_idle()" in str(living.value)
    else:
        assert str(living.value).endswith("queued in 'mail'.")
        assert str(killed.value).endswith("no worker serves it (workers running: 1, which serve a).")


def test_only_a_queued_task_lacks_a_worker() -> None:
    running = Snapshot("id", State.STARTED, QUEUED.envelope, 0)
    assert late([], running) == "Task id was not finished within 2 s; it is STARTED."
    unreadable: Any = Snapshot("id", State.QUEUED, b"?", 0)
    assert late([], unreadable) == "Task id was not finished within 2 s; it is QUEUED."


def test_a_server_that_is_away_does_not_change_the_error() -> None:
    app = StreamTasks("redis://127.0.0.1:1", timeout_s=0.2)
    assert str(unfinished.timed_out(app.owner, QUEUED, 2, "QUEUED")).endswith("queued in 'mail'.")


async def test_tasks_in_memory_need_a_run() -> None:
    app = StreamTasks("memory://unfinished")
    result = app.task(name="t")(print).enqueue()
    with pytest.raises(TimeoutError, match=r"call run_until_idle\(\)"):
        result.get(timeout=0)
    with pytest.raises(TimeoutError, match=r"call run_until_idle\(\)"):
        await result.aget(timeout=0)
