"""The immediate and the dummy backend: for tests of code that uses the real one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.tasks import TaskResultStatus, default_task_backend
from django.tasks.exceptions import InvalidTask
from django.test import override_settings
from django.utils import timezone

from contract.app import tasks
from contract.backends import OddBackend
from streamtasks import TaskFailed, TaskRevoked
from streamtasks_django import StreamTask
from streamtasks_django.stream_task_result import StreamTaskResult

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


@pytest.mark.usefixtures("immediate")
def test_results_of_the_immediate_backend_are_of_the_same_class() -> None:
    good: Any = tasks.add.enqueue(1, 2)
    assert isinstance(good, StreamTaskResult)
    assert (good.ready(), good.successful(), good.state, good.result, good.get(timeout=0)) == (
        True, True, "SUCCESS", 3, 3,
    )  # fmt: skip
    assert (good.info, good.traceback, good.children, good.parent_id, good.revoke()) == (None, None, [], None, False)
    bad: Any = tasks.fail.enqueue("project")
    assert (bad.failed(), bad.state, str(bad.result)) == (True, "FAILURE", "7: out of stock")
    assert "ShopError" in bad.traceback
    with pytest.raises(tasks.ShopError):
        bad.get()
    ended: Any = tasks.leave.enqueue("sys.exit")
    assert ended.status == TaskResultStatus.FAILED
    with pytest.raises(TaskFailed, match="SystemExit"):
        ended.get()


@pytest.mark.usefixtures("immediate")
def test_an_ignored_task_of_the_immediate_backend() -> None:
    result: Any = tasks.ignore.enqueue()
    assert (result.status, result.state, result.result, result.get()) == (
        TaskResultStatus.SUCCESSFUL, "IGNORED", None, None,
    )  # fmt: skip
    assert result.errors == []


def test_results_of_the_dummy_backend_are_of_the_same_class() -> None:
    with override_settings(TASKS={"default": {"BACKEND": f"streamtasks_django.backends.{TWINS[1]}"}}):
        backend: Any = default_task_backend
        result: Any = tasks.add.enqueue(1, 2)
        other: Any = tasks.add.using(run_after=timezone.now() + timedelta(hours=1)).enqueue(3, 4)
        assert isinstance(result, StreamTaskResult)
        assert (result.ready(), result.state, other.state, result.result) == (False, "QUEUED", "DELAYED", None)
        with pytest.raises(TimeoutError):
            result.get()  # nothing will ever run it
        assert backend.get_statistics()["pending_tasks"] == 2
        assert backend.revoke(result.id, terminate=True)
        assert backend.revoke(result.id)  # again does no harm
        assert not backend.revoke("unknown")
        assert (result.ready(), result.state, result.status) == (True, "REVOKED", TaskResultStatus.FAILED)
        with pytest.raises(TaskRevoked):
            result.get()
        assert backend.get_statistics() == {
            "total_tasks": 2, "completed_tasks": 0, "failed_tasks": 1, "pending_tasks": 1, "average_execution_time": 0,
        }  # fmt: skip
        assert backend.cleanup_results(datetime.now() - timedelta(hours=1)) == 0  # noqa: DTZ005
        assert backend.cleanup_results(timezone.now() + timedelta(seconds=1)) == 1
        assert [known.id for known in backend.results] == [other.id]
        assert backend.get_active_tasks() == []
        assert backend.get_worker_statistics()["active_workers"] == 0


def test_a_subclass_may_take_its_parameters_as_options() -> None:
    """The way the documentation shows it, and made by hand."""
    with override_settings(TASKS={"default": {"BACKEND": "contract.backends.OddBackend", "OPTIONS": {"a": 1}}}):
        backend: Any = default_task_backend
        assert (backend.alias, backend.options, backend.model) == ("default", {"a": 1}, "mine")
        assert tasks.add.enqueue(1, 2).status == TaskResultStatus.READY
    by_hand = OddBackend(b=2)
    assert (by_hand.alias, by_hand.options) == ("default", {"b": 2})
