"""A task that waits for a result keeps its place: refused at once, with the way out, in every kind of wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamtasks import Result, StreamTasks, group, wait_for
from streamtasks.exceptions import WaitInTask
from streamtasks.stores.memory import MemoryServer
from streamtasks_workers.testing.in_process import InProcessWorker

URL = "memory://wait-in-task"
WAY_OUT = r"would wait for .*, which is not finished.*chain\(\), chord\(\) or link=, or pass allow_wait=True"

ADDS = StreamTasks(URL)


@ADDS.task(name="add")
def add(a: int, b: int) -> int:
    return a + b


WAITS: dict[str, Callable[..., Any]] = {
    "get": lambda **more: add.enqueue(1, 2).get(**more),
    "group": lambda **more: group(add.s(1, 2), add.s(3, 4)).delay().get(**more),
    "wait_for": lambda **more: wait_for([add.enqueue(1, 2)], **more),
}
ASYNC_WAITS: dict[str, Callable[..., Any]] = {
    "aget": lambda **more: add.enqueue(1, 2).aget(**more),
    "agroup": lambda **more: group(add.s(1, 2), add.s(3, 4)).delay().aget(**more),
}


@ADDS.task(name="wait")
def wait(how: str, more: dict[str, Any]) -> Any:
    return WAITS[how](**more)


@ADDS.task(name="await")
async def wait_async(how: str, more: dict[str, Any]) -> Any:
    return await ASYNC_WAITS[how](**more)


@pytest.fixture
def worker() -> InProcessWorker:
    MemoryServer.at(URL).flush()
    return InProcessWorker(ADDS)


def enqueue(how: str, **more: Any) -> Result[Any]:
    return (wait if how in WAITS else wait_async).enqueue(how, more)


@pytest.mark.parametrize("how", [*WAITS, *ASYNC_WAITS])
@pytest.mark.parametrize("timeout", [None, 60], ids=["for ever", "60 s"])
def test_it_is_refused_at_once(worker: InProcessWorker, how: str, timeout: float | None) -> None:
    result = enqueue(how, timeout=timeout)
    worker.run_until_idle()
    with pytest.raises(WaitInTask, match=f"Task {result.id} .*{WAY_OUT}"):
        result.get(0)


@pytest.mark.parametrize("how", ["get", "group", "aget", "agroup"])
@pytest.mark.parametrize("more", [{"timeout": 0}, {"timeout": 0.01, "allow_wait": True}], ids=["look", "allowed"])
def test_a_look_or_an_allowed_wait_is_not(worker: InProcessWorker, how: str, more: dict[str, Any]) -> None:
    result = enqueue(how, **more)
    worker.run_until_idle()
    with pytest.raises(TimeoutError, match="was not finished within"):
        result.get(0)


def test_wait_for_looks_and_may_be_allowed(worker: InProcessWorker) -> None:
    results = [enqueue("wait_for", timeout=0), enqueue("wait_for", timeout=0.01, allow_wait=True)]
    worker.run_until_idle()
    assert [result.get(0) for result in results] == [False, False]


def test_what_is_finished_is_read(worker: InProcessWorker) -> None:
    done, all_done = add.enqueue(1, 2), group(add.s(1, 2), add.s(3, 4)).delay()
    worker.run_until_idle()

    def read(_: int) -> Any:
        return [done.get(), all_done.get(), wait_for([ADDS.get_result(done.id)])]

    app = StreamTasks(URL)
    result = app.task(name="read")(read).enqueue(0)
    InProcessWorker(app).run_until_idle()
    assert result.get(0) == [3, [3, 7], True]


def test_outside_of_tasks_nothing_is_refused(worker: InProcessWorker) -> None:
    enqueue("get")
    worker.run_until_idle()
    with pytest.raises(TimeoutError):
        add.enqueue(1, 2).get(timeout=0.01)
