"""The helpers for tests, used as a project uses them: in a TestCase, as a decorator, as a context manager."""

from __future__ import annotations

import unittest
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.tasks import default_task_backend, task_backends
from django.tasks.exceptions import InvalidTask
from django.test import SimpleTestCase, TestCase, override_settings

from contract.app import tasks
from contract.options import tasks_setting
from streamtasks import StreamTasksError
from streamtasks_django import testing
from streamtasks_django.backends.memory import MemoryBackend
from streamtasks_django.backends.redis import RedisBackend
from streamtasks_django.testing import MemoryTasksMixin, memory_tasks


def passed(case: type[unittest.TestCase]) -> None:
    """Run the tests of a class as Django's runner does; all must pass."""
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    result = unittest.TestResult()
    suite.run(result)
    assert result.testsRun > 0
    assert not result.errors + result.failures, (result.errors + result.failures)[0][1]


class TestInATestCase:
    def test_a_mixin(self) -> None:
        class Orders(MemoryTasksMixin, TestCase):
            def test_is_enqueued_and_runs_in_the_tests_transaction(self) -> None:
                assert connection.in_atomic_block
                result = tasks.select.enqueue(7)
                self.tasks.assert_enqueued(tasks.select, args=[7], queue="default", count=1)
                self.tasks.run_until_idle()
                result.refresh()
                assert result.return_value[:2] == [7, id(connection.connection)]
                assert connection.in_atomic_block

            def test_begins_empty(self) -> None:
                self.tasks.assert_nothing_enqueued()
                assert self.tasks.run_until_idle() == []

            def test_on_commit(self) -> None:
                with self.captureOnCommitCallbacks(execute=True):
                    transaction.on_commit(lambda: tasks.add.enqueue(1, 2))
                    self.tasks.assert_nothing_enqueued()
                self.tasks.assert_enqueued(tasks.add, args=(1, 2))

            async def test_asynchronously(self) -> None:
                await tasks.aadd.aenqueue(1, 2)
                await tasks.select.aenqueue(1)
                ran = await self.tasks.arun_until_idle()
                assert [one.state for one in ran] == ["SUCCESS"] * 2
                used = (await default_task_backend.aget_result(ran[1].id)).return_value[1]
                assert used == await sync_to_async(lambda: id(connection.connection))()

        passed(Orders)

    def test_a_decorated_class(self) -> None:
        @memory_tasks(attr_name="queue")
        class Decorated(SimpleTestCase):
            queue: testing.MemoryTasks

            def test_one(self) -> None:
                tasks.add.enqueue(1, 2)
                assert len(self.queue.run_until_idle()) == 1
                testing.assert_enqueued(tasks.add)

        passed(Decorated)

    def test_a_class_of_djangos_own_options(self) -> None:
        @override_settings(USE_TZ=False)
        class Both(MemoryTasksMixin, SimpleTestCase):
            def test_one(self) -> None:
                result = tasks.add.enqueue(1, 2)
                self.tasks.run_until_idle()
                result.refresh()
                assert result.finished_at.tzinfo is None  # type: ignore[union-attr]

        passed(Both)


class TestOverride:
    def test_as_a_context_manager_it_ends_with_what_was_before(self) -> None:
        with override_settings(TASKS=tasks_setting()):
            assert isinstance(task_backends["default"], RedisBackend)
            with memory_tasks() as memory:
                assert isinstance(task_backends["default"], MemoryBackend)
                tasks.add.enqueue(1, 2)
                assert [call.task for call in memory.outbox] == [tasks.add.module_path]
            assert isinstance(task_backends["default"], RedisBackend)

    def test_as_a_decorator(self) -> None:
        @memory_tasks(kwarg_name="memory")
        def decorated(memory: Any) -> int:
            tasks.add.enqueue(1, 2)
            return len(memory.run_until_idle())

        run: Any = decorated
        assert run() == 1
        assert run() == 1, "each call begins empty"

    def test_the_module_speaks_of_the_innermost(self) -> None:
        with pytest.raises(StreamTasksError, match="memory_tasks"):
            testing.run_until_idle()
        with memory_tasks(), memory_tasks():
            tasks.add.enqueue(1, 2)
            assert [call.args for call in testing.outbox] == [[1, 2]]
            assert len(testing.run_until_idle()) == 1
            testing.outbox.clear()
            testing.assert_nothing_enqueued()

    def test_all_aliases_with_their_own_rules(self) -> None:
        with override_settings(TASKS=tasks_setting()), memory_tasks() as memory:
            strict: Any = tasks.strictly.enqueue("x")
            tasks.add.enqueue(1, 2)
            with pytest.raises(InvalidTask, match="not valid for backend"):
                tasks.strictly.using(queue_name="other")
            assert len(memory.run_until_idle()) == 2
            strict.refresh()
            assert strict.return_value == "x"

    def test_the_bound_can_be_set(self) -> None:
        with memory_tasks(max_tasks=1) as memory:
            tasks.add.enqueue(1, 2)
            assert memory.server.max_tasks == 1

    def test_the_clock_can_be_moved(self) -> None:
        with memory_tasks() as memory:
            tasks.add.using(run_after=timedelta(hours=1)).enqueue(1, 2)  # type: ignore[arg-type]
            [call] = memory.assert_enqueued(tasks.add)
            assert 3590 < call.delay_s < 3601
            memory.advance(3500)
            assert memory.run_ready() == []
            memory.advance(101)
            assert len(memory.run_ready()) == 1

    def test_clear(self) -> None:
        with memory_tasks() as memory:
            tasks.add.enqueue(1, 2)
            memory.clear()
            assert memory.run_until_idle() == []
            memory.assert_nothing_enqueued()


class TestAssertEnqueued:
    def test_what_is_left_out_may_be_anything(self) -> None:
        with memory_tasks() as memory:
            tasks.mail.enqueue("a")
            tasks.mail.using(priority=1).enqueue(word="b")
            assert len(memory.assert_enqueued(tasks.mail)) == 2
            assert len(memory.assert_enqueued(tasks.mail, queue="mail", count=2)) == 2
            memory.assert_enqueued(tasks.mail, args=("a",), kwargs={}, priority=7, count=1)
            memory.assert_enqueued(tasks.mail.module_path, kwargs={"word": "b"}, priority=1)
            memory.assert_enqueued(tasks.add, count=0)

    def test_a_failure_lists_what_was_enqueued(self) -> None:
        with memory_tasks() as memory:
            with pytest.raises(AssertionError, match="Nothing was enqueued"):
                memory.assert_enqueued(tasks.mail)
            tasks.mail.enqueue("a")
            with pytest.raises(AssertionError) as caught:
                memory.assert_enqueued(tasks.mail, args=["b"], count=2)
        path = tasks.mail.module_path
        assert str(caught.value) == (
            f"Expected 2 calls of {path}, args=['b']; found 0.\n"
            f"1 call was enqueued:\n  {path}('a') in queue 'mail', priority 7"
        )

    def test_what_is_no_task(self) -> None:
        with memory_tasks() as memory, pytest.raises(TypeError, match="no task"):
            memory.assert_enqueued(lambda: None)
