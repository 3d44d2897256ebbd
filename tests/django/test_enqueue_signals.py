"""The signal task_enqueued and the log line of an enqueued task."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from django.tasks import TaskResultStatus, default_task_backend, task_backends
from django.tasks.exceptions import TaskResultMismatch
from django.tasks.signals import task_enqueued

from contract.app import tasks
from streamtasks_django.backends.base import StoreBackend
from streamtasks_django.framework import PACKAGE

pytestmark = pytest.mark.usefixtures("site")


def backend(alias: str = "default") -> StoreBackend:
    found = task_backends[alias]
    assert isinstance(found, StoreBackend)
    return found


def test_the_signal_is_sent_once_the_task_is_stored() -> None:
    told: list[Any] = []

    def broken(**_: Any) -> None:
        raise RuntimeError("broken receiver")

    def receiver(sender: type, task_result: Any, **_: Any) -> None:
        stored = sender is type(backend()) and default_task_backend.get_result(task_result.id)
        told.append((sender, task_result, stored))

    task_enqueued.connect(broken)
    task_enqueued.connect(receiver)
    try:
        result = tasks.add.enqueue(1, 2)
    finally:
        task_enqueued.disconnect(broken)
        task_enqueued.disconnect(receiver)
    [(sender, told_result, stored)] = told
    assert sender is type(backend())
    assert told_result is result
    assert stored.status == TaskResultStatus.READY


def test_enqueueing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", PACKAGE):
        result = tasks.add.enqueue(1, 2)
    assert f"Task id={result.id} path=contract.app.tasks.add enqueued backend=default" in caplog.text


def test_a_signal_that_nobody_would_keep_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(task_enqueued, "send_robust", lambda *_, task_result: sent.append(task_result.id))
    logger = logging.getLogger(PACKAGE)
    monkeypatch.setattr(logger, "isEnabledFor", lambda level: level > logging.DEBUG)
    tasks.add.enqueue(1, 2)
    assert sent == []
    task_enqueued.connect(_receive)
    try:
        result = tasks.add.enqueue(1, 2)
    finally:
        task_enqueued.disconnect(_receive)
    assert sent == [result.id]


def _receive(**_: Any) -> None:
    """Receive a signal."""


async def test_async_enqueue_and_get_need_no_threads() -> None:
    await tasks.add.aenqueue(0, 0)
    threads = threading.active_count()
    results = await asyncio.gather(*(tasks.aadd.aenqueue(number, b=1) for number in range(50)))
    again = await asyncio.gather(*(default_task_backend.aget_result(result.id) for result in results))
    assert threading.active_count() == threads
    assert [result.args for result in again] == [[number] for number in range(50)]
    await again[0].arefresh()
    assert (await tasks.aadd.aget_result(results[0].id)).status == TaskResultStatus.READY
    with pytest.raises(TaskResultMismatch):
        await tasks.add.aget_result(results[0].id)


async def test_async_enqueue_tells_plain_and_async_receivers() -> None:
    told: list[str] = []

    def plain(**_: Any) -> None:
        told.append("plain")
        raise RuntimeError("broken receiver")

    async def native(**_: Any) -> None:
        told.append("async")

    task_enqueued.connect(plain)
    task_enqueued.connect(native)
    try:
        await tasks.add.aenqueue(1, 2)
    finally:
        task_enqueued.disconnect(plain)
        task_enqueued.disconnect(native)
    assert sorted(told) == ["async", "plain"]
