"""Enqueueing and reading back, as django.tasks has it, on a real server without a worker."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
import time
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import django
import pytest
from django.tasks import TaskResultStatus, default_task_backend, task, task_backends
from django.tasks.exceptions import InvalidTask
from django.tasks.signals import task_enqueued
from django.test import override_settings
from django.utils import timezone

from contract.app import tasks
from contract.options import tasks_setting
from streamtasks import ConfigurationError, Message, PayloadTooLarge, StoreUnavailable
from streamtasks.protocol.shards import new_id
from streamtasks_django import get_task_backend
from streamtasks_django import task as our_task
from streamtasks_django.backends.base import StoreBackend
from streamtasks_django.enqueue.pipeline import queued_result
from streamtasks_django.results.task_result import StreamTaskResult

pytestmark = pytest.mark.usefixtures("site")


def backend(alias: str = "default") -> StoreBackend:
    found = task_backends[alias]
    assert isinstance(found, StoreBackend)
    return found


def test_a_new_result_is_ready_and_says_what_was_enqueued() -> None:
    before = timezone.now()
    result = tasks.add.enqueue(1, b=2)
    assert isinstance(result.id, str)
    assert 0 < len(result.id) < 64
    assert result.status == TaskResultStatus.READY
    assert not result.is_finished
    assert result.task is tasks.add
    assert (result.args, result.kwargs) == ([1], {"b": 2})
    assert result.backend == "default"
    assert (result.started_at, result.finished_at, result.last_attempted_at) == (None, None, None)
    assert (result.errors, result.worker_ids, result.attempts) == ([], [], 0)
    assert result.enqueued_at is not None
    assert timedelta(0) <= timezone.now() - result.enqueued_at
    assert abs(result.enqueued_at - before) < timedelta(seconds=2)
    with pytest.raises(ValueError, match="Task has not finished yet"):
        _ = result.return_value


def test_a_result_is_the_same_from_every_thread() -> None:
    result = tasks.echo.using(priority=9, queue_name="mail").enqueue("hello", n=1)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(default_task_backend.get_result(result.id)))
    thread.start()
    thread.join()
    again = found[0]
    assert again.task == result.task
    assert (again.task.priority, again.task.queue_name) == (9, "mail")
    assert (again.id, again.status, again.args, again.kwargs, again.backend) == (
        result.id,
        result.status,
        result.args,
        result.kwargs,
        result.backend,
    )
    assert abs(again.enqueued_at - result.enqueued_at) < timedelta(seconds=1)
    again.refresh()
    assert again.status == TaskResultStatus.READY


def test_ids_differ_and_sort_by_time() -> None:
    ids = []
    for number in range(20):
        ids.append(tasks.add.enqueue(number, 0).id)
        time.sleep(0.002)
    assert len(set(ids)) == 20
    assert ids == sorted(ids)


def test_run_after_comes_back_exactly() -> None:
    when = timezone.now() + timedelta(days=3, microseconds=1)
    result = tasks.add.using(run_after=when).enqueue(1, 2)
    assert default_task_backend.get_result(result.id).task.run_after == when
    assert result.status == TaskResultStatus.READY


def test_run_after_may_be_a_timedelta() -> None:
    before = timezone.now()
    later = tasks.add.using(run_after=timedelta(hours=1))  # type: ignore[arg-type]  # the stubs lack what Django documents
    assert later.run_after is not None
    assert timedelta(0) <= later.run_after - before - timedelta(hours=1) < timedelta(seconds=5)
    assert later.enqueue(1, 2).task.run_after == later.run_after


def test_run_after_without_time_zones_is_local_time() -> None:
    with override_settings(USE_TZ=False):
        when = datetime.now() + timedelta(hours=1)  # noqa: DTZ005
        result = tasks.add.using(run_after=when).enqueue(1, 2)
        again = default_task_backend.get_result(result.id)
    assert again.task.run_after == when
    assert again.enqueued_at is not None
    assert again.enqueued_at.tzinfo is None
    [snapshot] = backend().stores.plain.read([result.id])
    assert snapshot is not None
    assert 0 <= snapshot.due_ms / 1000 - when.timestamp() < 0.001


@pytest.mark.parametrize("given", [5.0, True, -100, 100])
def test_a_priority_that_django_accepts_becomes_an_int(given: Any) -> None:
    changed = tasks.add.using(priority=given)
    assert type(changed.priority) is int
    assert default_task_backend.get_result(changed.enqueue(1, 2).id).task.priority == int(given)


@pytest.mark.parametrize(
    "options",
    [
        {"priority": 101},
        {"priority": -101},
        {"priority": 1.5},
        {"run_after": datetime(2030, 1, 1)},  # noqa: DTZ001
        {"queue_name": "no spaces"},
        {"queue_name": "x" * 129},
        {"queue_name": "{braces}"},
        {"backend": "strict", "queue_name": "unknown"},
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidTask):
        tasks.add.using(**options)


def test_only_functions_of_modules_can_be_tasks() -> None:
    def inner() -> None: ...

    functions: list[Any] = [inner, lambda: None, len, tasks.ShopError]
    for function in functions:
        with pytest.raises(InvalidTask, match="module level"):
            task(function)


def test_a_context_needs_its_argument() -> None:
    with pytest.raises(InvalidTask, match="context"):
        task(takes_context=True)(tasks.plainly)  # type: ignore[arg-type]


def test_unknown_options_are_refused() -> None:
    with pytest.raises(TypeError):
        our_task(no_such_option=1)(tasks.plainly)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        our_task(run_after=timezone.now())(tasks.plainly)  # type: ignore[call-overload]


def test_without_queues_every_queue_is_accepted_and_with_it_only_those() -> None:
    assert tasks.add.using(queue_name="brand-new").enqueue(1, 2).task.queue_name == "brand-new"
    tasks.strictly.using(queue_name="mail").enqueue("x")
    with pytest.raises(InvalidTask, match="Queue 'other' is not valid for backend 'strict'; its QUEUES are"):
        tasks.strictly.using(queue_name="other")


def test_enqueue_validates_again_and_reading_does_not(site: str) -> None:
    wide = tasks_setting(site, "idle:")
    wide["strict"]["QUEUES"] = ["mail", "gone"]
    with override_settings(TASKS=wide):
        old = tasks.strictly.using(queue_name="gone")
        result_id = old.enqueue("x").id
    with pytest.raises(InvalidTask):
        old.enqueue("x")
    assert task_backends["strict"].get_result(result_id).task.queue_name == "gone"


def test_a_call_that_is_too_large_is_refused(site: str) -> None:
    small = tasks_setting(site, "idle:")
    small["default"]["OPTIONS"]["max_payload_bytes"] = 1000
    with override_settings(TASKS=small):
        tasks.echo.enqueue("x" * 500)
        with pytest.raises(PayloadTooLarge, match="max_payload_bytes is 1000"):
            tasks.echo.enqueue("x" * 1000)


def test_a_large_call_is_stored_and_warned_of_once(
    site: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamtasks.protocol.sizes._warned", set())
    with override_settings(TASKS=tasks_setting(site, "idle:")):
        sent = [tasks.echo.enqueue("x" * 4_000_000) for _ in range(2)]
        assert [len(task_backends["default"].get_result(one.id).args[0]) for one in sent] == [4_000_000] * 2
        with pytest.raises(PayloadTooLarge, match="max_payload_bytes is 16777216"):
            tasks.echo.enqueue("x" * 17_000_000)
    assert [record.name for record in caplog.records if "A call of task" in record.getMessage()] == [
        "streamtasks.tasks"
    ]


def test_a_server_that_is_away_is_one_clear_error_in_time(bound: Callable[[float], float]) -> None:
    away = tasks_setting("redis://127.0.0.1:1/0")
    away["default"]["OPTIONS"]["timeout"] = 0.3
    with override_settings(TASKS=away):
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
            tasks.add.enqueue(1, 2)
        with pytest.raises(ConnectionError):
            default_task_backend.get_result(new_id(("u0",)))
        assert time.monotonic() - started < bound(3)


def test_many_are_enqueued_in_order_or_not_at_all() -> None:
    results = backend().enqueue_many([(tasks.add, (number, 1), {}) for number in range(250)])
    again = backend().stores.plain.read([result.id for result in results])
    assert [Message.decode(s.envelope).args for s in again if s is not None] == [[n, 1] for n in range(250)]
    told: list[Any] = []

    def receiver(task_result: Any, **_: Any) -> None:
        told.append(task_result)

    task_enqueued.connect(receiver)
    try:
        with pytest.raises(TypeError):
            backend().enqueue_many([(tasks.add, (1, 2), {}), (tasks.add, (1, {2}), {})])
        assert told == []
        assert len(asyncio.run(backend().aenqueue_many([(tasks.add, (1, 2), {})] * 3))) == len(told) == 3
    finally:
        task_enqueued.disconnect(receiver)


def test_middleware_of_the_project_sees_the_message() -> None:
    [snapshot] = backend().stores.plain.read([tasks.context_of.enqueue("x").id])
    assert snapshot is not None
    assert Message.decode(snapshot.envelope).headers == {"seen": True}


def test_backends_are_made_for_nothing_and_share_their_store() -> None:
    seen: list[Any] = []

    def look() -> None:
        seen.append((task_backends["default"], backend().stores))

    for _ in range(2):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert seen[0][0] is not seen[1][0]
    assert seen[0][1] is seen[1][1]
    wrong = tasks_setting()
    wrong["default"]["OPTIONS"]["lease"] = "soon"
    with override_settings(TASKS=wrong):
        task(tasks.plainly)  # decorating must work for the system checks to be reached
        with pytest.raises(ConfigurationError, match="lease"):
            tasks.add.enqueue(1, 2)


def test_get_task_backend() -> None:
    assert get_task_backend() is task_backends["default"]
    assert get_task_backend("strict").alias == "strict"
    assert backend().supports_defer
    assert backend().supports_async_task
    assert backend().supports_get_result
    assert backend().supports_priority


def test_tasks_and_results_can_be_copied_and_pickled() -> None:
    changed = tasks.mail.using(priority=3, run_after=datetime(2030, 1, 1, tzinfo=UTC))
    assert hash(changed) == hash(replace(changed))
    assert copy.deepcopy(changed) == changed
    result = changed.enqueue("x")
    assert copy.deepcopy(result) == result
    if django.VERSION >= (6, 1):
        assert pickle.loads(pickle.dumps(changed)) == changed
        assert pickle.loads(pickle.dumps(result)) == result


def test_a_queued_result_has_what_its_class_gives_it() -> None:
    given: dict[str, Any] = {"args": (1, {"a": b"x"}), "kwargs": {"k": (2,)}, "backend": "default"}
    now, routed = timezone.now(), tasks.add
    made = queued_result(routed, "1", now, given["args"], given["kwargs"], "default", {"m": 1})
    other = StreamTaskResult(
        task=routed,
        id="1",
        status=TaskResultStatus.READY,
        enqueued_at=now,
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        errors=[],
        worker_ids=[],
        raw_metadata={"m": 1},
        **given,
    )
    assert {one.name: getattr(made, one.name) for one in fields(other)} == {
        one.name: getattr(other, one.name) for one in fields(other)
    }
    with pytest.raises(TypeError):
        queued_result(routed, "1", now, (object(),), {}, "default", {})
