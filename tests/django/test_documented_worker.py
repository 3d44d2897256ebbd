"""The documented tasks, run by a real worker in another process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contract.app import classes, documented
from contract.app import tasks as contract_tasks
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.django_site import DjangoWorker

tasks: Any = contract_tasks


def until[T](look: Callable[[], T]) -> T:
    """Wait until something is true, and return it."""
    return wait_until(look, "what the test waits for")


def noted(worker: DjangoWorker, word: str, task_id: str) -> list[Any]:
    return [note for note in worker.noted() if note[0] == word and note[1] == task_id]


def test_a_bound_task_retries_and_knows_its_request(worker: DjangoWorker) -> None:
    result = documented.robust.apply_async([2], {"word": "x"}, queue="mail", headers={"user": 7})
    worker.finish(result)
    assert result.return_value == {
        "id": result.id,
        "retries": 2,
        "args": [2],
        "kwargs": {"word": "x"},
        "queue": "mail",
        "parent": None,
        "root": result.id,
        "headers": {"user": 7},
        "eta": None,
        "max_retries": 2,
        "name": "robust",
    }
    assert result.attempts == 3
    assert [error.exception_class for error in result.errors] == [ValueError, ValueError]


def test_when_retries_are_exhausted_the_reason_is_the_failure(worker: DjangoWorker) -> None:
    for result, attempts in (
        (documented.robust.enqueue(5), 3),
        (documented.robust.apply_async([5], max_retries=0), 1),
        (documented.robust.using(max_retries=1).enqueue(5), 2),
    ):
        worker.finish(result)
        assert (str(result.status), result.attempts) == ("FAILED", attempts)
        assert result.errors[-1].exception_class is ValueError
        assert f"failure {attempts - 1}" in result.errors[-1].traceback


def test_a_bound_coroutine_task(worker: DjangoWorker) -> None:
    result = documented.urgent.delay("now")
    assert worker.finish(result).return_value == ["now", "high_priority", 0]


def test_a_state_of_the_tasks_own_is_shown_while_it_runs(worker: DjangoWorker, tmp_path: Path) -> None:
    path = tmp_path / "go"
    result: Any = documented.progress.delay(str(path))
    until(lambda: result.state == "WAITING")
    assert result.info == {"for": str(path)}
    path.touch()
    assert worker.finish(result).return_value == str(path)


def test_automatic_retries(worker: DjangoWorker) -> None:
    result = documented.automatic.delay("k")
    worker.finish(result)
    assert (result.attempts, [error.exception_class for error in result.errors]) == (2, [KeyError, KeyError])


def test_a_task_is_found_by_its_name(worker: DjangoWorker) -> None:
    assert worker.finish(documented.with_a_name.delay()).return_value == ["shop.by-name", "shop.by-name"]


def test_a_child_knows_its_parent(worker: DjangoWorker) -> None:
    parent_id, child_id = worker.finish(documented.parent.delay()).return_value
    child: Any = documented.follower.get_result(child_id)
    assert worker.finish(child).return_value == [["child"], {"queue": "of the task"}, parent_id, parent_id]


def test_links_run_after_a_success_with_its_result(worker: DjangoWorker) -> None:
    result = tasks.add.apply_async(
        [1, 2],
        link=[documented.follower.s("own"), documented.follower.si("alone")],
        link_error=documented.told.s(),
    )
    worker.finish(result)
    found = until(
        lambda: two if len(two := [n for n in worker.noted() if n[0] == "followed" and n[3] == result.id]) == 2 else []
    )
    assert sorted((note[1] for note in found), key=len) == [["alone"], [3, "own"]]
    assert {note[4] for note in found} == {result.id}


def test_an_error_handler_is_told_once_after_the_final_failure(worker: DjangoWorker) -> None:
    result = documented.robust.apply_async([5], link_error=documented.told.s("own"), link=documented.follower.s())
    worker.finish(result)
    [note] = until(lambda: noted(worker, "told", result.id))
    assert note == ["told", result.id, "failure 2", ["ValueError: failure 2"], ["own"]]


def test_nothing_follows_what_was_ignored(worker: DjangoWorker) -> None:
    result = documented.ignored.apply_async(link=documented.follower.s(), link_error=documented.told.s())
    worker.finish(result)
    last = documented.follower.delay("last")
    worker.finish(last)
    assert not noted(worker, "told", result.id)
    assert not [note for note in worker.noted() if note[0] == "followed" and note[3] == result.id]


def test_a_task_runs_after_another_that_is_enqueued_already(worker: DjangoWorker) -> None:
    first = tasks.sleep.delay(0.2)
    second: Any = documented.follower.apply_async(["second"], link=first.id)
    assert second.state in ("BLOCKED", "QUEUED", "STARTED")
    worker.finish(second)
    first.refresh()
    assert first.is_finished
    assert second.return_value == [["second"], {}, first.id, first.id]
    failing = documented.fails.delay("no")
    after = documented.follower.apply_async(["never"], link=failing.id)
    worker.finish(after)
    assert str(after.status) == "FAILED"


def test_a_bare_retry_waits_for_the_default_delay(worker: DjangoWorker) -> None:
    result: Any = documented.asks.apply_async(default_retry_delay=0.05)
    assert worker.finish(result).return_value == 2
    waiting: Any = documented.asks.delay()
    until(lambda: waiting.state == "RETRY")


class TestHooks:
    def heard(self, worker: DjangoWorker, task_id: str) -> list[Any]:
        return [note[2:] for note in noted(worker, "class", task_id)]

    def test_success(self, worker: DjangoWorker) -> None:
        result = classes.data_migration_task.delay(migration_type="users", batch_size=7, extra=1)
        value = {"batch_size": 7, "retries": 0, "max": 1, "more": {"extra": 1}}
        assert worker.finish(result).return_value == value
        assert self.heard(worker, result.id) == [
            ["before_start", [], {"migration_type": "users", "batch_size": 7, "extra": 1}],
            ["on_success", "users", value],
            ["after_return", "users", "SUCCESS"],
        ]

    def test_failure(self, worker: DjangoWorker) -> None:
        result = classes.data_migration_task.delay("unknown")
        worker.finish(result)
        text = "Unknown migration type: unknown"
        assert [error.exception_class for error in result.errors] == [ValueError]
        assert self.heard(worker, result.id)[1:] == [
            ["on_failure", "unknown", "ValueError", text, [f"ValueError: {text}"]],
            ["after_return", "unknown", "FAILURE"],
        ]

    def test_retry(self, worker: DjangoWorker) -> None:
        result = classes.data_migration_task.delay("retry")
        worker.finish(result)
        assert [note[0] for note in self.heard(worker, result.id)] == [
            "before_start",
            "on_retry",
            "after_return",
            "before_start",
            "on_failure",
            "after_return",
        ]

    def test_ignored(self, worker: DjangoWorker) -> None:
        result = classes.data_migration_task.delay("ignore")
        worker.finish(result)
        assert [note[0] for note in self.heard(worker, result.id)] == ["before_start"]

    def test_an_error_before_the_start_is_the_tasks(self, worker: DjangoWorker) -> None:
        result = classes.data_migration_task.delay("users", break_start=True)
        worker.finish(result)
        assert result.errors[-1].exception_class is KeyError
        assert [note[:2] for note in self.heard(worker, result.id)[1:]] == [
            ["on_failure", "not begun"],
            ["after_return", "not begun"],
        ]

    def test_revoked_before_it_ran(self, worker: DjangoWorker) -> None:
        result: Any = classes.data_migration_task.apply_async(["users"], countdown=600)
        assert result.revoke()
        heard = until(lambda: found if len(found := self.heard(worker, result.id)) == 2 else [])
        assert [note[:2] for note in heard] == [["on_failure", "unset"], ["after_return", "unset"]]
        assert (heard[0][2], heard[1][2]) == ("TaskRevoked", "REVOKED")

    def test_plain_hooks_of_a_coroutine_may_use_the_database(self, worker: DjangoWorker) -> None:
        result = classes.native.delay("w")
        assert worker.finish(result).return_value == "w"
        assert self.heard(worker, result.id) == [[1, 2, "w"]]


def test_classes_without_hooks_and_of_coroutines(worker: DjangoWorker) -> None:
    file = classes.file_processing_task.delay("p", width=1)
    word = classes.unnamed.delay("w")
    assert worker.finish(file).return_value == ["p", {"width": 1}, 1]
    assert worker.finish(word).return_value == ["w", "contract.app.classes.unnamed", "Unnamed"]


def test_expired_tasks_do_not_run(worker: DjangoWorker) -> None:
    result = tasks.add.apply_async([1, 2], countdown=0.1, expires=0.02)
    worker.finish(result)
    assert (str(result.status), result.state) == ("FAILED", "EXPIRED")
