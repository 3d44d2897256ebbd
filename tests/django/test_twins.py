"""The immediate and the dummy backend: for tests of code that uses the real one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.tasks import TaskResultStatus, default_task_backend
from django.tasks.exceptions import InvalidTask
from django.test import override_settings

from contract.app import tasks
from streamtasks_django import StreamTask

TWINS = ["immediate.ImmediateBackend", "dummy.DummyBackend"]


@pytest.fixture(params=TWINS)
def twin(request: pytest.FixtureRequest) -> Iterator[str]:
    with override_settings(TASKS={"default": {"BACKEND": f"streamtasks_django.backends.{request.param}"}}):
        yield request.param


@pytest.fixture
def immediate() -> Iterator[None]:
    with override_settings(TASKS={"default": {"BACKEND": f"streamtasks_django.backends.{TWINS[0]}"}}):
        yield


def test_they_have_the_same_task_class_and_rules(twin: str) -> None:
    assert default_task_backend.task_class is StreamTask
    result = tasks.mail.using(queue_name="any", priority=5.0, run_after=timedelta(hours=1)).enqueue("x")  # type: ignore[arg-type]
    assert (result.task.queue_name, result.task.priority) == ("any", 5)
    with pytest.raises(InvalidTask):
        tasks.mail.using(queue_name="no spaces")


def test_arguments_go_through_json(twin: str) -> None:
    assert tasks.echo.enqueue({1: (2,)}).args == [{"1": [2]}]
    with pytest.raises(TypeError):
        tasks.echo.enqueue({1})


@pytest.mark.usefixtures("immediate")
def test_the_immediate_backend_runs_tasks_with_json_results() -> None:
    assert tasks.give.enqueue("keys").return_value == {"1": "one", "null": "none", "2.5": "half"}
    native: Any = tasks.aadd.enqueue(1, 2)
    assert native.return_value == 3
    assert tasks.context_of.enqueue("x").return_value["attempt"] == 1
    result = tasks.give.enqueue("set")
    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].exception_class is TypeError


async def test_the_immediate_backend_in_an_event_loop() -> None:
    with override_settings(TASKS={"default": {"BACKEND": f"streamtasks_django.backends.{TWINS[0]}"}}):
        result: Any = await tasks.aadd.aenqueue(1, 2)
        assert result.return_value == 3


def test_the_dummy_backend_remembers() -> None:
    with override_settings(TASKS={"default": {"BACKEND": f"streamtasks_django.backends.{TWINS[1]}"}}):
        result = tasks.add.enqueue(1, 2)
        backend: Any = default_task_backend
        assert [known.id for known in backend.results] == [result.id]
        assert backend.get_result(result.id).args == [1, 2]
        backend.clear()
        assert backend.results == []


def test_a_backend_with_queues_is_strict() -> None:
    setting = {"BACKEND": f"streamtasks_django.backends.{TWINS[1]}", "QUEUES": ["default"]}
    with override_settings(TASKS={"default": setting}), pytest.raises(InvalidTask, match="not valid for backend"):
        tasks.add.using(queue_name="mail")
