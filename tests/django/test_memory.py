"""MemoryBackend: the contract of django.tasks without a server, and tasks that run inside a TestCase."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import checks as django_checks
from django.db import connection, transaction
from django.tasks import TaskResultStatus, default_task_backend, task_backends
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.tasks.signals import task_finished, task_started
from django.test import override_settings

from contract.app import tasks
from streamtasks import ConfigurationError, StoreFull
from streamtasks.exceptions import NeverIdle
from streamtasks_django import StreamTask
from streamtasks_django.backends.memory import MemoryBackend, forget
from streamtasks_django.checks import check_backend, check_servers

PATH = "streamtasks_django.backends.memory.MemoryBackend"


def setting(**options: Any) -> dict[str, Any]:
    return {"default": {"BACKEND": PATH, "OPTIONS": options}}


def backend() -> MemoryBackend:
    found = task_backends["default"]
    assert isinstance(found, MemoryBackend)
    return found


@pytest.fixture
def memory() -> Iterator[None]:
    """By hand: nothing runs but in run_until_idle()."""
    url = "memory://backend-tests"
    with override_settings(TASKS=setting(autostart=False, url=url)):
        yield
    forget(url)


@pytest.fixture
def started() -> Iterator[None]:
    """With its thread."""
    url = f"memory://started-{threading.get_ident()}"
    with override_settings(TASKS=setting(url=url)):
        yield
        backend().stores.plain.server.flush()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("memory")
class TestByHand:
    def test_nothing_runs_by_itself(self) -> None:
        result = tasks.add.enqueue(1, 2)
        assert default_task_backend.task_class is StreamTask
        assert default_task_backend.get_result(result.id).status == TaskResultStatus.READY
        ran = backend().run_until_idle()
        assert [(r.id, r.task, r.attempt, r.state) for r in ran] == [(result.id, tasks.add.module_path, 1, "SUCCESS")]
        result.refresh()
        assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, 3)
        assert len(result.worker_ids) == 1

    def test_what_is_due_later_runs_on_a_clock_that_jumps(self) -> None:
        result = tasks.add.using(run_after=timedelta(days=30)).enqueue(1, 2)  # type: ignore[arg-type]
        assert backend().run_ready() == []
        assert len(backend().run_until_idle()) == 1
        result.refresh()
        assert result.is_finished

    def test_retries(self) -> None:
        result = tasks.try_again.enqueue(2)
        assert [r.state for r in backend().run_until_idle()] == ["RETRY", "RETRY", "SUCCESS"]
        result.refresh()
        assert result.return_value[:2] == [3, 3]
        assert len(result.errors) == 2

    def test_coroutine_tasks_and_contexts(self) -> None:
        results: list[Any] = [tasks.aadd.enqueue(1, 2), tasks.acontext_of.enqueue(), tasks.context_of.enqueue("x")]
        backend().run_until_idle()
        for result in results:
            result.refresh()
        values = [result.return_value for result in results]
        assert values[:2] == [3, 1]
        assert values[2]["id"] == results[2].id

    def test_failures_have_their_errors(self) -> None:
        results: list[Any] = [tasks.fail.enqueue("project"), tasks.leave.enqueue("sys.exit"), tasks.give.enqueue("set")]
        backend().run_until_idle()
        for result in results:
            result.refresh()
        assert [result.status for result in results] == [TaskResultStatus.FAILED] * 3
        assert [result.errors[0].exception_class for result in results] == [tasks.ShopError, SystemExit, TypeError]

    def test_priorities(self) -> None:
        low, high = tasks.add.using(priority=-5).enqueue(1, 1), tasks.add.using(priority=5).enqueue(2, 2)
        assert [r.id for r in backend().run_until_idle()] == [high.id, low.id]

    def test_queue_rules_and_unknown_ids(self) -> None:
        with pytest.raises(InvalidTask):
            tasks.add.using(queue_name="no spaces")
        with pytest.raises(TaskResultDoesNotExist):
            default_task_backend.get_result("unknown")

    def test_signals(self) -> None:
        told: list[tuple[str, Any, str]] = []

        def hear(sender: Any, task_result: Any, signal: Any, **_: Any) -> None:
            told.append(("started" if signal is task_started else "finished", sender, str(task_result.status)))

        task_started.connect(hear)
        task_finished.connect(hear)
        try:
            tasks.add.enqueue(1, 2)
            backend().run_until_idle()
        finally:
            task_started.disconnect(hear)
            task_finished.disconnect(hear)
        assert told == [("started", MemoryBackend, "RUNNING"), ("finished", MemoryBackend, "SUCCESSFUL")]

    def test_an_endless_task_is_named(self) -> None:
        tasks.try_again.enqueue(10**6)
        with pytest.raises(NeverIdle, match="try_again"):
            backend().run_until_idle(most=3)

    async def test_from_an_event_loop(self) -> None:
        results: list[Any] = [await tasks.add.aenqueue(1, 2), await tasks.aadd.aenqueue(3, 4)]
        assert len(await backend().arun_until_idle()) == 2
        assert [(await default_task_backend.aget_result(r.id)).return_value for r in results] == [3, 7]

    def test_waiting_for_what_nobody_runs_ends_at_once(self) -> None:
        result = tasks.add.enqueue(1, 2)
        assert backend().wait_for_results([result.id], None) == set()

    def test_tasks_use_the_callers_connection_and_transaction(self) -> None:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("CREATE TEMPORARY TABLE seen (n int)")
            result = tasks.select.enqueue(7)
            backend().run_until_idle()
            assert connection.in_atomic_block
            result.refresh()
            assert result.return_value[:2] == [7, id(connection.connection)]
            transaction.set_rollback(True)


@pytest.mark.usefixtures("started")
class TestThread:
    def test_tasks_run_as_they_come(self) -> None:
        results: list[Any] = [tasks.add.enqueue(1, 2), tasks.aadd.enqueue(3, 4), tasks.pid.enqueue()]
        later: Any = tasks.add.using(run_after=timedelta(milliseconds=50)).enqueue(5, 6)  # type: ignore[arg-type]
        ids = {result.id for result in [*results, later]}
        done: set[str] = set()
        while done != ids:
            found = backend().wait_for_results(sorted(ids - done), 10)
            assert found
            done |= found
        for result in [*results, later]:
            result.refresh()
        assert [result.return_value for result in results[:2]] == [3, 7]
        assert later.return_value == 11

    def test_it_has_a_thread_of_its_own_that_is_no_obstacle_to_an_end(self) -> None:
        tasks.add.enqueue(1, 2)
        thread = next(t for t in threading.enumerate() if t.name == "streamtasks-default")
        assert thread.daemon


class TestBound:
    def test_beyond_max_tasks_enqueue_refuses(self) -> None:
        with override_settings(TASKS=setting(max_tasks=2, autostart=False)):
            backend().server.flush()
            tasks.add.enqueue(1, 2)
            tasks.add.enqueue(1, 2)
            with pytest.raises(StoreFull, match="max_tasks is 2"):
                tasks.add.enqueue(1, 2)
            assert len(backend().run_until_idle()) == 2
            tasks.add.enqueue(1, 2)

    def test_a_thousand_by_default(self) -> None:
        with override_settings(TASKS=setting()):
            assert backend().server.max_tasks == 1000
            assert backend().autostart


class TestChecks:
    def messages(self, **options: Any) -> list[Any]:
        with override_settings(TASKS=setting(**options)):
            return list(check_backend(backend()))

    def test_its_own_options_are_known(self) -> None:
        assert self.messages(max_tasks=5, autostart=False, result_expires=3600) == []

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"max_tasks": 0}, "max_tasks is 0"),
            ({"autostart": "no"}, "autostart is 'no'"),
            ({"url": "redis://localhost"}, "no server"),
            ({"result_expires": -1}, "result_expires"),
        ],
    )
    def test_wrong_values(self, options: dict[str, Any], words: str) -> None:
        errors = [m for m in self.messages(**options) if m.level >= django_checks.ERROR]
        assert [m.id for m in errors] == ["streamtasks.E001"]
        assert words in errors[0].msg
        with override_settings(TASKS=setting(**options)), pytest.raises(ConfigurationError):
            tasks.add.enqueue(1, 2)

    def test_options_of_a_server_are_unknown(self) -> None:
        assert [m.id for m in self.messages(lease_=5, worker={})] == ["streamtasks.W001"] * 2

    def test_it_is_nothing_to_deploy(self) -> None:
        with override_settings(TASKS=setting()):
            assert [m.id for m in check_servers()] == ["streamtasks.E007"]
