"""Tasks run by a separate worker process: what django.tasks promises of execution and results."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.tasks import TaskResultStatus, default_task_backend
from django.utils import timezone

from contract import elsewhere, views
from contract.app import tasks
from streamtasks.exceptions import InvalidKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.django_site import DjangoWorker


def failed(result: Any) -> str:
    """Check what holds for every failed task; return the class path of its error."""
    assert result.status == TaskResultStatus.FAILED
    assert result.is_finished
    assert result.finished_at is not None
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value
    return str(result.errors[-1].exception_class_path)


def test_a_finished_task_says_what_it_returned_and_when(worker: DjangoWorker) -> None:
    result = worker.finish(tasks.add.enqueue(1, b=2))
    assert result.status == TaskResultStatus.SUCCESSFUL
    assert result.return_value == 3
    assert result.errors == []
    assert result.attempts == len(result.worker_ids) == 1
    assert result.enqueued_at is not None
    assert result.started_at is not None
    assert result.finished_at is not None
    assert result.enqueued_at <= result.started_at <= result.finished_at <= timezone.now()
    assert result.last_attempted_at == result.started_at
    assert result.task == tasks.add
    assert default_task_backend.get_result(result.id) == result


def test_a_coroutine_task_runs(worker: DjangoWorker) -> None:
    assert worker.finish(tasks.aadd.enqueue(2, 3)).return_value == 5


async def test_all_of_it_from_an_event_loop(worker: DjangoWorker) -> None:
    results: list[Any] = await asyncio.gather(*(tasks.aadd.aenqueue(number, 1) for number in range(10)))
    for number, result in enumerate(results):
        async with asyncio.timeout(60):
            while not result.is_finished:
                await asyncio.sleep(0.01)
                await result.arefresh()
        assert result.return_value == number + 1
        assert (await default_task_backend.aget_result(result.id)).return_value == number + 1


def test_status_is_running_while_a_task_runs(worker: DjangoWorker) -> None:
    result = tasks.sleep.enqueue(1.5)
    deadline = time.monotonic() + 60
    while result.status == TaskResultStatus.READY and time.monotonic() < deadline:
        time.sleep(0.01)
        result.refresh()
    assert result.status == TaskResultStatus.RUNNING
    assert result.started_at is not None
    assert result.last_attempted_at == result.started_at
    assert result.finished_at is None
    assert result.attempts == 1
    with pytest.raises(ValueError, match="Task has not finished yet"):
        _ = result.return_value
    workers = result.worker_ids
    assert worker.finish(result).worker_ids == workers


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("bytes", "café"),
        ("tuple", [1, [2]]),
        ("range", [0, 1, 2]),
        ("big", 2**70),
        ("surrogate", "\ud800"),
        ("zero", "a\x00b"),
        ("none", None),
        ("nested", {"a": [1, {"b": None}], "c": 1.5}),
    ],
)
def test_a_return_value_means_what_json_makes_of_it(worker: DjangoWorker, kind: str, expected: Any) -> None:
    assert worker.finish(tasks.give.enqueue(kind)).return_value == expected


def test_nan_can_be_returned(worker: DjangoWorker) -> None:
    value = worker.finish(tasks.give.enqueue("nan")).return_value
    assert value != value


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    [
        ("set", TypeError, "Unsupported type: <class 'set'>"),
        ("object", TypeError, "Unsupported type: <class 'object'>"),
        ("keys", InvalidKey, "the result of task contract.app.tasks.give has the key 1"),
        ("bad bytes", ValueError, "Unsupported value: <class 'bytes'>"),
    ],
)
def test_a_return_value_that_json_cannot_carry_fails_the_task(
    worker: DjangoWorker, kind: str, error: type[Exception], text: str
) -> None:
    result = worker.finish(tasks.give.enqueue(kind))
    failed(result)
    assert result.errors[0].exception_class is error
    assert text in result.errors[0].traceback


def test_so_it_does_in_a_coroutine_task(worker: DjangoWorker) -> None:
    assert failed(worker.finish(tasks.agive.enqueue("set"))) == "builtins.TypeError"
    assert worker.finish(tasks.agive.enqueue("tuple")).return_value == [1]


def test_an_error_comes_with_its_class_and_traceback(worker: DjangoWorker) -> None:
    result = worker.finish(tasks.fail.enqueue("project"))
    assert failed(result) == "contract.app.tasks.ShopError"
    [error] = result.errors
    assert error.exception_class is tasks.ShopError
    assert "7: out of stock" in error.traceback
    assert "app/tasks.py" in error.traceback
    assert "in fail" in error.traceback


def test_an_error_of_a_coroutine_task_likewise(worker: DjangoWorker) -> None:
    result = worker.finish(tasks.afail.enqueue())
    assert failed(result) == "contract.app.tasks.ShopError"
    assert "in afail" in result.errors[0].traceback


def test_a_traceback_shows_the_cause(worker: DjangoWorker) -> None:
    text = worker.finish(tasks.fail.enqueue("cause")).errors[0].traceback
    assert "KeyError: 'inner'" in text
    assert "ValueError: outer" in text


def test_an_error_class_that_cannot_be_imported_keeps_its_name(worker: DjangoWorker) -> None:
    result = worker.finish(tasks.fail.enqueue("local"))
    assert failed(result) == "contract.app.tasks.fail.<locals>.Hidden"
    with pytest.raises(ImportError):
        _ = result.errors[0].exception_class


@pytest.mark.parametrize("how", ["sys.exit", "KeyboardInterrupt", "GeneratorExit"])
def test_no_exception_ends_the_worker(worker: DjangoWorker, how: str) -> None:
    name = "SystemExit" if how == "sys.exit" else how
    assert failed(worker.finish(tasks.leave.enqueue(how))) == f"builtins.{name}"
    assert worker.finish(tasks.add.enqueue(1, 1)).return_value == 2


def test_wrong_arguments_fail_the_task(worker: DjangoWorker) -> None:
    assert failed(worker.finish(tasks.add.enqueue(1))) == "builtins.TypeError"  # type: ignore[call-arg]


def test_the_context_is_the_running_result(worker: DjangoWorker) -> None:
    result = worker.finish(tasks.context_of.using(priority=4, queue_name="mail").enqueue("hello"))
    assert result.return_value == {
        "word": "hello",
        "attempt": 1,
        "id": result.id,
        "status": "RUNNING",
        "args": ["hello"],
        "worker_ids": result.worker_ids,
        "task": "contract.app.tasks.context_of",
        "queue": "mail",
        "priority": 4,
        "errors": [],
    }
    assert worker.finish(tasks.acontext_of.enqueue()).return_value == 1


def test_every_attempt_has_its_worker_and_every_failed_one_its_error(worker: DjangoWorker) -> None:
    result = worker.finish(tasks.try_again.enqueue(2))
    attempt, workers, tracebacks = result.return_value
    assert attempt == workers == result.attempts == len(result.worker_ids) == 3
    assert [("attempt 1" in tracebacks[0]), ("attempt 2" in tracebacks[1])] == [True, True]
    assert [error.exception_class_path for error in result.errors] == ["streamtasks.exceptions.Retry"] * 2
    assert result.started_at is not None
    assert result.last_attempted_at is not None
    assert result.last_attempted_at - result.started_at >= timedelta(seconds=0.09)


def test_coroutine_tasks_can_be_retried_too(worker: DjangoWorker) -> None:
    result = worker.finish(tasks.atry_again.enqueue(1))
    assert (result.return_value, result.attempts, len(result.errors)) == (2, 2, 1)


def test_a_task_that_waits_for_its_next_attempt_is_ready(worker: DjangoWorker) -> None:
    result = tasks.try_again.using(queue_name="retry").enqueue(2, delay_s=2)
    seen = set()
    while not result.is_finished:
        seen.add((str(result.status), result.attempts))
        if result.attempts and result.status == TaskResultStatus.READY:
            assert len(result.errors) == result.attempts
            assert result.started_at is not None
            assert result.last_attempted_at is not None
        result.refresh()
    assert ("READY", 1) in seen
    assert ("READY", 2) in seen


def test_ignore_is_a_success_without_a_value(worker: DjangoWorker) -> None:
    result = worker.finish(tasks.ignore.enqueue())
    assert (result.status, result.return_value, result.errors) == (TaskResultStatus.SUCCESSFUL, None, [])


def test_a_task_whose_process_dies_runs_again(worker: DjangoWorker, bound: Callable[[float], float]) -> None:
    result = worker.finish(tasks.kill_the_child.enqueue())
    assert result.return_value == result.attempts == 2
    [error] = result.errors
    assert error.exception_class_path == "streamtasks.exceptions.WorkerCrashed"
    assert result.started_at is not None
    assert result.finished_at is not None
    assert result.finished_at - result.started_at < timedelta(seconds=bound(1.5))


def test_a_delayed_task_starts_when_it_is_due_and_not_before(
    worker: DjangoWorker, bound: Callable[[float], float]
) -> None:
    due = timezone.now() + timedelta(seconds=0.7)
    result = tasks.add.using(run_after=due).enqueue(1, 2)
    assert result.status == TaskResultStatus.READY
    worker.finish(result)
    assert result.started_at is not None
    late = result.started_at.timestamp() - int(due.timestamp() * 1000) / 1000
    assert 0 <= late < bound(0.5)
    assert default_task_backend.get_result(result.id).task.run_after == due


def test_a_delayed_task_in_the_past_starts_at_once(worker: DjangoWorker) -> None:
    past = timezone.now() - timedelta(days=400)
    assert worker.finish(tasks.add.using(run_after=past).enqueue(1, 2), 5).return_value == 3


def test_tasks_are_found_wherever_they_are_defined(worker: DjangoWorker) -> None:
    for task, args, expected in (
        (views.beside_a_view, (), "found through the URLconf"),
        (elsewhere.elsewhere, (), "found through TASK_IMPORTS"),
        (tasks.under_another_name, ("w",), "plain w"),
        (tasks.Holder.method, ("m",), "method m"),
        (tasks.strictly, ("s",), "s"),
    ):
        result = worker.finish(task.enqueue(*args))
        assert result.return_value == expected


def test_a_brand_new_queue_and_priority_are_served(worker: DjangoWorker) -> None:
    queue = f"queue-{time.time_ns()}"
    assert worker.finish(tasks.add.using(queue_name=queue, priority=-77).enqueue(1, 2), 5).return_value == 3


def test_three_hundred_tasks_all_finish_once(worker: DjangoWorker) -> None:
    backend: Any = default_task_backend
    results = backend.enqueue_many([(tasks.add, (number, 1), {}) for number in range(300)])
    for number, result in enumerate(results):
        assert worker.finish(result, 30).return_value == number + 1
        assert result.attempts == 1


def test_signals_are_sent_by_the_class_with_the_state_of_the_moment(worker: DjangoWorker) -> None:
    good = worker.finish(tasks.add.enqueue(1, 2))
    bad = worker.finish(tasks.fail.enqueue("project"))
    gone = worker.finish(tasks.leave.enqueue("sys.exit"))
    tried = worker.finish(tasks.try_again.enqueue(1))
    native = worker.finish(tasks.afail.enqueue())
    # One receiver of each signal raises before these were told; see contract.app.apps.
    assert notes_of(worker, good) == [
        ["started", "RedisBackend", "RUNNING", 1],
        ["finished", "RedisBackend", "SUCCESSFUL", 1, None],
    ]
    for result, error in ((bad, "ShopError"), (gone, "SystemExit"), (native, "ShopError")):
        assert notes_of(worker, result) == [
            ["started", "RedisBackend", "RUNNING", 1],
            ["finished", "RedisBackend", "FAILED", 1, error],
        ]
    assert notes_of(worker, tried) == [
        ["started", "RedisBackend", "RUNNING", 1],
        ["started", "RedisBackend", "RUNNING", 2],
        ["finished", "RedisBackend", "SUCCESSFUL", 2, None],
    ]


def test_the_logger_django_tasks_tells_of_start_and_end(worker: DjangoWorker) -> None:
    result = worker.finish(tasks.fail.enqueue("project"))
    lines = [line for line in worker.logged().splitlines() if result.id in line]
    assert any("INFO" in line and "state=RUNNING" in line for line in lines)
    assert any("ERROR" in line and "state=FAILED" in line for line in lines)
    assert "ShopError: 7: out of stock" in worker.logged()


def test_middleware_of_the_project_runs_around_the_signals(worker: DjangoWorker) -> None:
    result = worker.finish(tasks.context_of.enqueue("x"))
    assert [note[0] for note in worker.noted() if result.id in note] == [
        "middleware enters",
        "started",
        "finished",
        "middleware after",
    ]


def notes_of(worker: DjangoWorker, result: Any) -> list[list[Any]]:
    return [[note[0], *note[2:]] for note in worker.noted() if isinstance(note, list) and note[1] == result.id]
