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

from contract.app import classes, documented, tasks
from contract.backends import OddBackend
from streamtasks import TaskFailed, TaskRevoked
from streamtasks.exceptions import InvalidKey
from streamtasks_django import StreamTask
from streamtasks_django.results.task_result import StreamTaskResult

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
    assert tasks.echo.enqueue({"1": (2,)}).args == [{"1": [2]}]
    with pytest.raises(TypeError, match=r"args\[0\] of task .*echo has the key 1"):
        tasks.echo.enqueue({1: 2, "1": 3})
    with pytest.raises(TypeError):
        tasks.echo.enqueue({1})


@pytest.mark.usefixtures("immediate")
def test_the_immediate_backend_runs_tasks_with_json_results() -> None:
    assert tasks.give.enqueue("nested").return_value == {"a": [1, {"b": None}], "c": 1.5}
    assert tasks.give.enqueue("keys").errors[0].exception_class is InvalidKey
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


class TestDocumented:
    """The documented options and ways to call mean the same on the twins, as far as they run anything."""

    def test_calls_are_understood(self, twin: str) -> None:
        result: Any = documented.follower.apply_async(
            ["x"], {"queue": 1}, countdown=60, queue="mail", priority=5, task_id="mine", headers={"a": 1}
        )
        assert (result.id, result.task.queue_name, result.task.priority) == ("mine", "mail", 5)
        assert (result.args, result.kwargs) == (["x"], {"queue": 1})
        assert documented.follower.delay("x", countdown=1).kwargs == {"countdown": 1}
        with pytest.raises(InvalidTask, match="countdown is -1"):
            documented.follower.apply_async(countdown=-1)

    def test_routes_count(self, twin: str) -> None:
        with override_settings(TASK_ROUTES={"*.follower": {"queue": "bulk"}}):
            assert documented.follower.delay().task.queue_name == "bulk"

    @pytest.mark.usefixtures("immediate")
    def test_bound_tasks_retry_at_once(self) -> None:
        result: Any = documented.robust.apply_async([2], {"word": "x"}, headers={"user": 7})
        value = result.return_value
        assert (value["retries"], value["headers"], value["id"]) == (2, {"user": 7}, result.id)
        assert (result.attempts, len(result.errors), result.state) == (3, 2, "SUCCESS")
        failed: Any = documented.robust.delay(5)
        assert (failed.attempts, failed.state, str(failed.result)) == (3, "FAILURE", "failure 2")
        again: Any = documented.automatic.delay("k")
        assert (again.attempts, again.state) == (2, "FAILURE")
        native: Any = documented.urgent.delay("w")
        assert native.return_value == ["w", "high_priority", 0]

    @pytest.mark.usefixtures("immediate")
    def test_hooks_and_links_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        left: list[Any] = []
        monkeypatch.setattr("contract.notes.leave", left.append)
        result: Any = classes.data_migration_task.apply_async(["retry"], link_error=documented.told.s("own"))
        assert result.state == "FAILURE"
        assert [note[2] for note in left if note[0] == "class"] == [
            "before_start",
            "on_retry",
            "after_return",
            "before_start",
            "on_failure",
            "after_return",
        ]
        [told] = [note for note in left if note[0] == "told"]
        assert told == ["told", result.id, "not yet", ["ValueError: not yet"], ["own"]]
        left.clear()
        any_tasks: Any = tasks
        first = any_tasks.add.apply_async([1, 2], link=documented.follower.s("own"))
        assert left == [["followed", [3, "own"], {}, first.id, first.id]]
        ignored: Any = documented.ignored.apply_async(link=documented.follower.s())
        assert (ignored.state, len(left)) == ("IGNORED", 1)
