"""Metadata, as it is proposed for Django: it travels with a call, and the running task changes it."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from django.tasks import TaskResultStatus, task_backends
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.signals import task_finished
from django.test import override_settings

from contract.app import tasks
from streamtasks.exceptions import ClaimLost
from streamtasks.tasks.attempt import entered
from streamtasks_django.exceptions import InvalidTask
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from streamtasks.stores.types import Claimed
    from tests.support.django_site import DjangoWorker
    from tests.support.manual_consumer import Consumer

TRACED = {"trace_id": 123, "tags": ("a", "b")}
READ = {"trace_id": 123, "tags": ["a", "b"]}

add: Any = tasks.add
change: Any = tasks.change_metadata
achange: Any = tasks.achange_metadata


class ForeignBackend(BaseTaskBackend):
    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        raise NotImplementedError


def local(name: str) -> dict[str, Any]:
    path = f"streamtasks_django.backends.{name}.{name.capitalize()}Backend"
    options = {"autostart": False, "url": "memory://metadata"} if name == "memory" else {}
    return {"default": {"BACKEND": path, "OPTIONS": options}, "foreign": {"BACKEND": f"{__name__}.ForeignBackend"}}


@pytest.mark.usefixtures("site")
class TestCalls:
    def test_it_belongs_to_one_call(self) -> None:
        given = {"trace_id": [1]}
        task = add.using(metadata=given)
        given["trace_id"].append(2)
        assert (task.metadata, add.metadata) == ({"trace_id": [1]}, {})
        assert task.using(priority=3).metadata == {"trace_id": [1]}
        assert task.using(metadata={}).metadata == {}
        assert (hash(task), task == add) == (hash(add), False)
        assert pickle.loads(pickle.dumps(task)) == copy.deepcopy(task) == task

    def test_readers_see_it_before_the_task_runs(self) -> None:
        result = add.using(metadata={**TRACED, "_lib": 1}).apply_async((1, 2), headers={"x": 1})
        read: Any = task_backends["default"].get_result(result.id)
        for one in (result, read):
            assert (one.metadata, one.raw_metadata) == (READ, {**READ, "_lib": 1})
            assert one.task.metadata == {**READ, "_lib": 1}
        read.metadata["trace_id"] = 4
        assert read.metadata == READ
        assert read.known.message().headers["x"] == 1

    @pytest.mark.parametrize(
        ("metadata", "text"),
        [
            ([("a", 1)], "metadata must be a dict"),
            ("", "metadata must be a dict"),
            ({1: "a"}, "metadata keys must be strings; one is 1"),
            ({"a": object()}, "metadata must be JSON-serializable"),
            ({"a": {1: "b"}}, "metadata must be JSON-serializable.*has the key 1"),
            ({"a": "x" * 16_000}, "metadata takes 160.. bytes; at most 15360"),
        ],
    )
    def test_what_cannot_be_kept_is_refused(self, metadata: Any, text: str) -> None:
        with pytest.raises(InvalidTask, match=text):
            add.using(metadata=metadata)

    def test_only_the_running_attempt_may_save(self) -> None:
        result = add.enqueue(1, 2)
        with pytest.raises(InvalidTask, match="only the attempt that runs a task"):
            task_backends["default"].save_metadata(result, {"a": 1})  # type: ignore[attr-defined]


def test_a_backend_that_keeps_none_refuses_it() -> None:
    with override_settings(TASKS=local("dummy")):
        foreign = add.using(backend="foreign", metadata={})
        with pytest.raises(InvalidTask, match="the backend 'foreign' does not keep any"):
            foreign.using(metadata={"a": 1})


@pytest.fixture(params=["memory", "immediate"])
def run(request: pytest.FixtureRequest) -> Any:
    """Enqueue a call and return its result when it has finished."""
    with override_settings(TASKS=local(request.param)):
        backend: Any = task_backends["default"]

        def here(task: Any, *args: Any) -> Any:
            result = task.enqueue(*args)
            if request.param == "memory":
                backend.run_until_idle()
                result.refresh()
            return result

        yield here


class TestRuns:
    def test_a_success_stores_what_has_changed(self, run: Any) -> None:
        result = run(change.using(metadata={**TRACED, "_own": 7}))
        assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, READ)
        assert result.metadata == {**READ, "attempts": [1]}
        assert result.raw_metadata["_own"] == 7, "a task changes no key of a backend or library"

    def test_a_failure_does_so_too(self, run: Any) -> None:
        result = run(change, "fail")
        assert (result.status, result.metadata) == (TaskResultStatus.FAILED, {"attempts": [1]})

    def test_the_next_attempt_gets_it(self, run: Any) -> None:
        result = run(change.using(metadata={"a": 1}), "retry")
        assert (result.return_value, result.metadata) == ({"a": 1}, {"a": 1, "attempts": [1, 2]})

    def test_what_json_cannot_encode_fails_the_task(self, run: Any) -> None:
        result = run(change.using(metadata={"a": 1}), "object")
        assert result.status == TaskResultStatus.FAILED
        assert result.errors[0].exception_class is TypeError
        assert result.metadata == {"a": 1}

    @pytest.mark.parametrize("then", ["return", "fail"])
    def test_coroutines_do_the_same(self, run: Any, then: str) -> None:
        result = run(achange, then)
        assert result.metadata == {"first": 1, "second": 1}
        assert result.is_finished


def test_a_worker_does_the_same(worker: DjangoWorker) -> None:
    task = change.using(metadata={**TRACED, "_own": 7})
    calls: list[Any] = [task.enqueue(then) for then in ("return", "fail", "retry", "object")]
    calls += [achange.enqueue(then) for then in ("return", "fail")]
    found = [worker.finish(call).metadata for call in calls]  # type: ignore[attr-defined]
    both = {"first": 1, "second": 1}
    assert found == [READ | {"attempts": [1]}, READ | {"attempts": [1]}, READ | {"attempts": [1, 2]}, READ, both, both]
    assert [call.status for call in calls[:4]] == ["SUCCESSFUL", "FAILED", "SUCCESSFUL", "FAILED"]
    assert (calls[0].return_value, calls[0].raw_metadata["_own"]) == (READ, 7)


def test_it_is_seen_while_the_task_runs(worker: DjangoWorker, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    result = change.using(metadata={"a": 1}).enqueue("save", str(gate))

    def saved() -> bool:
        result.refresh()
        return bool(result.metadata == {"a": 1, "attempts": [1]})

    wait_until(saved, "the metadata is seen")
    assert result.status == TaskResultStatus.RUNNING
    gate.touch()
    worker.finish(result)
    assert result.metadata == {"a": 1, "attempts": [1], "end": True}


def test_receivers_of_task_finished_see_it() -> None:
    seen: list[Any] = []

    def note(task_result: Any, **_: Any) -> None:
        seen.append(task_result.metadata)

    task_finished.connect(note)
    try:
        with override_settings(TASKS=local("memory")):
            change.enqueue()
            task_backends["default"].run_until_idle()  # type: ignore[attr-defined]
    finally:
        task_finished.disconnect(note)
    assert seen == [{"attempts": [1]}]


@pytest.mark.usefixtures("server_and_memory")
def test_a_worker_that_lost_its_claim_stores_nothing(hand: Consumer) -> None:
    from streamtasks_django.worker.application import DjangoApplication
    from streamtasks_workers.executor.runner import Runner

    backend: Any = task_backends["default"]
    result = change.using(metadata={"a": 1}).enqueue()
    [claimed] = hand.claim(1)

    def prepared(claim: Claimed) -> Any:
        runner = Runner(DjangoApplication(backend), "other", rewrite=backend.stores.plain.rewrite)
        return runner.prepare(claim, 0, lambda _: None)

    lost, ours = prepared(claimed._replace(token="other#1")), prepared(claimed)
    with entered(lost.attempt), pytest.raises(ClaimLost, match="nothing was"):
        backend.save_metadata(result, {"a": 2})
    assert backend.get_result(result.id).metadata == {"a": 1}
    with entered(ours.attempt):
        backend.save_metadata(result, {"a": 2})
    assert backend.get_result(result.id).metadata == {"a": 2}


def test_the_dummy_backend_keeps_it_as_django_will() -> None:
    from streamtasks_django import TaskContext

    with override_settings(TASKS=local("dummy")):
        result: Any = add.using(metadata={"a": 1}).enqueue(1, 2)
        context = TaskContext(task_result=result)
        context.metadata["b"] = 2
        assert context.metadata_modified
        context.save_metadata()
        assert not context.metadata_modified
        stored: Any = task_backends["default"].get_result(result.id)
        context.metadata["c"] = 3
        assert stored.metadata == {"a": 1, "b": 2}
