"""Calls that wait for the commit of a transaction: none is sent after a rollback, and many go in one call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.checks import run_checks
from django.db import transaction
from django.tasks import task_backends
from django.tasks.exceptions import TaskResultDoesNotExist
from django.tasks.signals import task_enqueued
from django.test import TestCase, override_settings

from contract.app import tasks as contract_tasks
from streamtasks.exceptions import ConfigurationError, StoreUnavailable, TaskIdInUse
from streamtasks_django import chain, chord, enqueue_on_commit, group
from streamtasks_django.backends.memory import forget

tasks: Any = contract_tasks
MEMORY = "streamtasks_django.backends.memory.MemoryBackend"
URL = f"memory://on-commit-{threading.get_ident()}"
OPTIONS = {"autostart": False, "url": URL}
ALIASES = {
    "default": {"BACKEND": MEMORY, "OPTIONS": OPTIONS},
    "waits": {"BACKEND": MEMORY, "OPTIONS": {**OPTIONS, "key_prefix": "waits:", "on_commit": True}},
    "waits_for_other": {"BACKEND": MEMORY, "OPTIONS": {**OPTIONS, "key_prefix": "other:", "on_commit": "other"}},
    "immediate": {"BACKEND": "streamtasks_django.backends.immediate.ImmediateBackend"},
    "dummy": {"BACKEND": "streamtasks_django.backends.dummy.DummyBackend", "OPTIONS": {"on_commit": True}},
}


@pytest.fixture(autouse=True)
def _in_memory() -> Iterator[None]:
    with override_settings(TASKS=ALIASES):
        yield
        forget(URL)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many messages each call to a store had, and 0 for a workflow."""
    found: list[int] = []
    for alias in ("default", "waits"):
        store = backend(alias).stores.plain
        counting(monkeypatch, store, "enqueue", lambda messages: found.append(len(messages)))
        counting(monkeypatch, store, "start_workflow", lambda new: found.append(0))
    return found


def counting(monkeypatch: pytest.MonkeyPatch, store: Any, name: str, note: Callable[[Any], None]) -> None:
    real = getattr(store, name)

    def counted(what: Any, *args: Any, **kwargs: Any) -> Any:
        note(what)
        return real(what, *args, **kwargs)

    monkeypatch.setattr(store, name, counted)


def backend(alias: str = "default") -> Any:
    return task_backends[alias]


def ran(alias: str = "default") -> list[str]:
    return [one.id for one in backend(alias).run_until_idle()]


@contextmanager
def rolled_back() -> Generator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def is_stored(result: Any) -> bool:
    found = backend(result.backend).stores.plain.read([result.id])
    return found[0] is not None


def test_nothing_is_sent_before_the_commit_and_then_all_in_one_call(calls: list[int]) -> None:
    with transaction.atomic():
        results = [tasks.add.delay_on_commit(number, 1) for number in range(5)]
        with transaction.atomic():
            results.append(tasks.add.apply_async_on_commit(args=[5], kwargs={"b": 1}))
        assert calls == []
        assert not results[0].ready()
        assert str(backend().get_result(results[0].id).status) == "READY"
        assert [one.id for one in backend().get_results([one.id for one in results])] == [one.id for one in results]
    assert calls == [6]
    assert ran() == [one.id for one in results]
    assert [one.result for one in results] == [1, 2, 3, 4, 5, 6]


def test_a_rollback_and_a_savepoint_that_is_rolled_back_send_nothing(calls: list[int]) -> None:
    heard: list[str] = []

    def receiver(task_result: Any, **_: Any) -> None:
        heard.append(task_result.id)

    task_enqueued.connect(receiver)
    try:
        with rolled_back():
            lost = tasks.add.delay_on_commit(1, 1)
        with transaction.atomic():
            first = tasks.add.delay_on_commit(1, 2)
            with rolled_back():
                undone = tasks.add.delay_on_commit(1, 3)
            last = tasks.add.delay_on_commit(1, 4)
            with rolled_back():
                tasks.add.delay_on_commit(1, 5)
    finally:
        task_enqueued.disconnect(receiver)
    assert calls == [2]
    assert ran() == [first.id, last.id] == heard
    for result in (lost, undone):
        with pytest.raises(TaskResultDoesNotExist):
            backend().get_result(result.id)


def test_outside_of_a_transaction_calls_go_at_once(calls: list[int]) -> None:
    assert is_stored(tasks.add.delay_on_commit(1, 2))
    with transaction.atomic():
        assert is_stored(tasks.add.delay(1, 2))  # without asking
    assert calls == [1, 1]


def test_the_option_on_commit_and_the_database_that_it_names() -> None:
    task, other = tasks.add.using(backend="waits"), tasks.add.using(backend="waits_for_other")
    with transaction.atomic():
        held = task.enqueue(1, 2)
        assert is_stored(other.enqueue(1, 2))
        asked = tasks.add.apply_async_on_commit([1, 2], using="default")
        assert is_stored(tasks.add.apply_async_on_commit([1, 2], using="other"))
        assert not is_stored(held)
        assert not is_stored(asked)
        many = backend("waits").enqueue_many([(task, [3, 4], {}), (task, [5, 6], {})])
        assert not is_stored(many[0])
        with transaction.atomic("other"):
            second = other.delay(1, 2)
        assert is_stored(second)
    assert all(map(is_stored, (held, asked, *many)))


def test_workflows_wait_too(calls: list[int]) -> None:
    add = tasks.add
    with transaction.atomic(), enqueue_on_commit():
        started = add.delay(0, 0)
        members = group(add.s(1, 2), add.s(3, 4)).apply_async()
        end = chain(add.s(1, 1), add.s(5)).apply_async()
        body = chord([add.s(1, 1), add.s(2, 2)])(tasks.echo.s())
        assert calls == []
        assert not members.ready()
        assert members.progress == {"total": 2, "completed": 0, "failed": 0, "pending": 2}
        assert members.ids == [one.id for one in members.results]
        with pytest.raises(TimeoutError):
            members.get(timeout=0)
        assert (end.state, body.state) == ("BLOCKED", "BLOCKED")
    assert calls == [1, 0, 0, 0]
    backend().run_until_idle()
    assert started.result == 0
    assert members.get(timeout=0) == [3, 7]
    assert end.get(timeout=0) == 7
    assert body.get(timeout=0) == [[[2, 4]], {}]


def test_workflows_of_a_transaction_that_is_rolled_back_do_not_start() -> None:
    with rolled_back(), enqueue_on_commit():
        group(tasks.add.s(1, 2), tasks.add.s(3, 4)).apply_async()
    assert ran() == []


@pytest.mark.usefixtures("orm_thread")
async def test_from_an_event_loop() -> None:
    # The ORM of a coroutine works on the thread of sync_to_async.
    block = transaction.atomic()
    await sync_to_async(block.__enter__)()
    held = await tasks.add.adelay_on_commit(1, 2)
    second = await tasks.add.aapply_async_on_commit([3, 4])
    with enqueue_on_commit():
        members = await group(tasks.add.s(1, 2), tasks.add.s(3, 4)).aapply_async()
    assert str((await backend().aget_result(held.id)).status) == "READY"
    assert not is_stored(held)
    await sync_to_async(block.__exit__)(None, None, None)
    assert is_stored(held)
    assert is_stored(second)
    await backend().arun_until_idle()
    assert await members.aget(timeout=0) == [3, 7]
    assert is_stored(await tasks.add.adelay_on_commit(1, 2))


def test_callbacks_of_others_keep_their_place(calls: list[int]) -> None:
    def failing() -> None:
        raise ZeroDivisionError

    results: list[Any] = []
    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012
        results.append(tasks.add.delay_on_commit(1, 2))
        transaction.on_commit(failing)
        results.append(tasks.add.delay_on_commit(1, 2))
    assert is_stored(results[0])
    assert not is_stored(results[1])  # as every callback behind one that fails
    assert calls == [1]


def test_a_callback_that_enqueues_in_a_transaction_of_its_own(calls: list[int]) -> None:
    def more() -> None:
        with transaction.atomic():
            tasks.add.delay_on_commit(3, 4)

    with transaction.atomic():
        tasks.add.delay_on_commit(1, 2)
        transaction.on_commit(more)
    assert calls == [1, 1]


def test_an_error_of_the_store_reaches_the_caller_and_other_aliases_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise StoreUnavailable("no answer")

    sent: list[Any] = []
    monkeypatch.setattr(backend().stores.plain, "enqueue", refuse)
    with pytest.raises(StoreUnavailable), transaction.atomic():  # noqa: PT012
        tasks.add.delay_on_commit(1, 2)
        sent.append(tasks.add.using(backend="waits").delay(1, 2))
    assert is_stored(sent[0])


def test_the_id_of_another_call_is_refused_after_the_commit() -> None:
    sent: list[Any] = []
    tasks.add.apply_async([1, 2], task_id="mine")
    with pytest.raises(TaskIdInUse), transaction.atomic():  # noqa: PT012
        tasks.add.apply_async_on_commit([3, 4], task_id="mine")
        sent.append(tasks.add.delay_on_commit(5, 6))
    assert is_stored(sent[0])


def test_immediate_and_dummy_backends_wait() -> None:
    with transaction.atomic():
        result = tasks.add.using(backend="immediate").delay_on_commit(1, 2)
        kept = tasks.add.using(backend="dummy").delay(1, 2)
        assert not result.is_finished
        assert backend("dummy").results == []
    assert result.return_value == 3
    assert [one.id for one in backend("dummy").results] == [kept.id]


def test_wrong_databases_are_named() -> None:
    with pytest.raises(ConfigurationError, match=r"using is 'gone'; .*default, other"):
        tasks.add.apply_async_on_commit([1, 2], using="gone")
    wrong = {"default": {"BACKEND": MEMORY, "OPTIONS": {**OPTIONS, "on_commit": "gone"}}}
    with override_settings(TASKS=wrong):
        found = [message for message in run_checks() if message.id == "streamtasks.E001"]
        assert "on_commit is 'gone'; it must be an alias of the setting DATABASES" in found[0].msg


class TestCaptured(TestCase):
    """A transaction is around each test."""

    databases = {"default"}  # noqa: RUF012

    def test_callbacks_are_captured_call_by_call(self) -> None:
        early = tasks.add.delay_on_commit(0, 0)
        with self.captureOnCommitCallbacks() as callbacks:
            first, second = tasks.add.delay_on_commit(1, 2), tasks.add.delay_on_commit(3, 4)
        assert len(callbacks) == 2
        callbacks[1]()
        assert not is_stored(first)
        assert is_stored(second)
        with self.captureOnCommitCallbacks(execute=True):
            third = tasks.add.delay_on_commit(5, 6)
        assert is_stored(third)
        assert not is_stored(early)
