"""A `task_id` that is given twice: the same call is enqueued once, another one is an error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from streamtasks import StreamTasks, TaskIdInUse
from streamtasks.protocol.json import dumps
from streamtasks.stores.types import NewMessage
from tests.support.manual_consumer import Consumer, outcome_of

type Enqueue = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def enqueue(request: pytest.FixtureRequest, app: StreamTasks) -> Enqueue:
    """Enqueue a call of a task by its name, with the id "own"."""

    @app.task(name="add")
    def add(*numbers: int, **more: int) -> None:
        pass

    @app.task(name="other")
    def other(*numbers: int) -> None:
        pass

    def call(name: str, *args: Any, **kwargs: Any) -> Any:
        task: Any = app.tasks[name]
        if request.param == "sync":
            return task.apply_async(args, kwargs, task_id="own")
        return asyncio.run(task.aapply_async(args, kwargs, task_id="own"))

    return call


def test_the_same_call_again_is_logged(app: StreamTasks, enqueue: Enqueue, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "streamtasks.tasks"):
        enqueue("add", 1, (2, 3), b=4)
        assert caplog.messages == []
        assert enqueue("add", 1, (2, 3), b=4).id == "own"
    assert caplog.messages == ["task own is already enqueued; nothing was done"]
    with Consumer(app.store) as hand:
        assert hand.succeed() == ["own"]


@pytest.mark.parametrize("phase", ["queued", "running", "finished"])
def test_another_call_is_refused(app: StreamTasks, enqueue: Enqueue, phase: str) -> None:
    result = enqueue("add", 1, b=4)
    with Consumer(app.store) as hand:
        if phase != "queued":
            [claimed] = hand.claim(1)
            if phase == "finished":
                hand.settle(outcome_of(claimed, "SUCCESS", dumps({"r": None})))
        for args, kwargs in (((2,), {"b": 4}), ((1,), {}), ((1,), {"b": 5})):
            with pytest.raises(TaskIdInUse, match=r"'own' belongs to a call of add with other arguments"):
                enqueue("add", *args, **kwargs)
        with pytest.raises(TaskIdInUse, match=r"'own' belongs to a call of add, so this call of other was not"):
            enqueue("other", 1)
        assert enqueue("add", 1, b=4).id == result.id
        assert [one.id for one in hand.claim()] == (["own"] if phase == "queued" else [])


def test_where_nothing_is_left_to_compare_it_counts_as_the_same(app: StreamTasks, enqueue: Enqueue) -> None:
    enqueue("add", 1)
    with Consumer(app.store) as hand:
        hand.succeed()
        app.store.delete_result("own")
        assert enqueue("other", 2).id == "own"
        assert hand.claim() == []


def test_what_cannot_be_read_counts_as_the_same(
    app: StreamTasks, enqueue: Enqueue, caplog: pytest.LogCaptureFixture
) -> None:
    app.store.enqueue([NewMessage("own", "default", 0, b"no envelope")])
    assert enqueue("add", 1).id == "own"
    assert "cannot be compared" in caplog.text
