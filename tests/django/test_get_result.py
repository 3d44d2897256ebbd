"""Results by their ids: unknown ones, those of other tasks and aliases, and those that cannot be read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.tasks import TaskResultStatus, default_task_backend, task_backends
from django.tasks.exceptions import TaskResultDoesNotExist, TaskResultMismatch

from contract.app import tasks
from streamtasks import Message
from streamtasks.protocol.shards import new_id
from streamtasks.stores.types import NewMessage
from tests.django.test_enqueue import backend

pytestmark = pytest.mark.usefixtures("site")


@pytest.mark.parametrize(
    "unknown",
    [pytest.param(new_id(("u0",)), id="new"), "x", "", "a b", "}{", "x" * 500, "\ud800", 7, None, b"x"],
)
def test_an_unknown_id_does_not_exist(unknown: Any) -> None:
    with pytest.raises(TaskResultDoesNotExist):
        default_task_backend.get_result(unknown)
    with pytest.raises(TaskResultDoesNotExist):
        tasks.add.get_result(unknown)
    with pytest.raises(TaskResultDoesNotExist):
        asyncio.run(default_task_backend.aget_result(unknown))


def test_a_result_of_another_task_is_a_mismatch() -> None:
    result = tasks.add.enqueue(1, 2)
    assert tasks.add.get_result(result.id).id == result.id
    assert tasks.add.using(priority=3).get_result(result.id).id == result.id
    with pytest.raises(TaskResultMismatch, match=r"contract\.app\.tasks\.add"):
        tasks.echo.get_result(result.id)


def test_another_alias_does_not_know_the_result() -> None:
    result = tasks.add.enqueue(1, 2)
    with pytest.raises(TaskResultDoesNotExist):
        task_backends["strict"].get_result(result.id)
    elsewhere = tasks.add.using(backend="strict").enqueue(1, 2)
    assert elsewhere.backend == "strict"
    assert task_backends["strict"].get_result(elsewhere.id).task.backend == "strict"


def test_a_result_of_an_unknown_task_can_be_shown() -> None:
    message = Message(id=new_id(("u0",)), task="no.such.module.send", args=[1], queue="mail", priority=4)
    backend().stores.plain.enqueue([NewMessage(message.id, "mail", 4, message.encode(10_000))])
    result = default_task_backend.get_result(message.id)
    assert result.task.module_path == "no.such.module.send"
    assert result.task.name == "send"
    assert (result.task.queue_name, result.task.priority, result.args) == ("mail", 4, [1])
    assert "send" in repr(result)
    assert result == default_task_backend.get_result(message.id)
    with pytest.raises(LookupError, match=r"no\.such\.module\.send"):
        result.task.call()
    with pytest.raises(TaskResultMismatch):
        tasks.add.get_result(message.id)


def test_a_message_that_cannot_be_read_can_be_shown() -> None:
    task_id = new_id(("u0",))
    backend().stores.plain.enqueue([NewMessage(task_id, "default", 0, b"\xff\x00 no envelope")])
    result = default_task_backend.get_result(task_id)
    assert result.status == TaskResultStatus.READY
    assert result.task.module_path == "streamtasks.unreadable"
