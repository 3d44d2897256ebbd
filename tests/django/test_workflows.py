"""Workflows of Django tasks: the guide's functions against a real worker, and what only Django has."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.tasks import task_backends
from django.tasks.exceptions import TaskResultDoesNotExist
from django.tasks.signals import task_enqueued, task_started
from django.test import override_settings

from contract.app import tasks as contract_tasks
from streamtasks.exceptions import InvalidTask, ParentFailed
from streamtasks_django import chain, chord, get_task_backend, group
from streamtasks_django.backends.memory import forget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.django_site import DjangoWorker

tasks: Any = contract_tasks
MEMORY = "streamtasks_django.backends.memory.MemoryBackend"


@pytest.fixture
def memory() -> Iterator[Any]:
    """By hand: nothing runs but in run_until_idle(); two aliases, and one that keeps nothing."""
    url, other = f"memory://workflows-{threading.get_ident()}", f"memory://others-{threading.get_ident()}"
    setting = {
        "default": {"BACKEND": MEMORY, "OPTIONS": {"autostart": False, "url": url}},
        "other": {"BACKEND": MEMORY, "OPTIONS": {"autostart": False, "url": other}},
        "at_once": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"},
        "twin": {"BACKEND": "streamtasks_django.backends.immediate.ImmediateBackend"},
    }
    with override_settings(TASKS=setting):
        yield task_backends["default"]
    forget(url)
    forget(other)


class TestWithAWorker:
    def test_a_group(self, worker: DjangoWorker) -> None:
        result = group(tasks.add.s(user_id, 1) for user_id in (1, 2, 3, 4, 5)).apply_async()
        assert result.get(timeout=60) == [2, 3, 4, 5, 6]
        backend: Any = get_task_backend()
        again = backend.get_group(result.id)
        assert again.get(timeout=0) == [2, 3, 4, 5, 6]
        assert [str(member.status) for member in again] == ["SUCCESSFUL"] * 5

    def test_a_chain(self, worker: DjangoWorker) -> None:
        result = chain(tasks.add.s(1, 2), tasks.add.s(10), tasks.add.s(100)).apply_async()
        assert result.get(timeout=60) == 113
        assert result.parent.get(timeout=0) == 13
        again: Any = get_task_backend().get_result(result.id)
        assert again.result == 113

    def test_a_chord(self, worker: DjangoWorker) -> None:
        header = group(tasks.add.s(user_id, 1) for user_id in (1, 2, 3))
        result = chord(header)(tasks.echo.s("batch_processing_summary"))
        assert result.get(timeout=60)[0][0] == [2, 3, 4]
        assert result.parent.get() == [2, 3, 4]

    def test_bulk_in_groups_of_a_hundred(self, worker: DjangoWorker) -> None:
        calls = [tasks.add.s(user_id, 1) for user_id in range(1, 301)]
        results = [group(calls[at : at + 100]).apply_async() for at in range(0, 300, 100)]
        assert [sum(result.get(timeout=120)) for result in results] == [5150, 15150, 25150]

    def test_a_body_that_its_results_do_not_fit_fails_with_a_clear_error(self, worker: DjangoWorker) -> None:
        result = chord([tasks.add.s(1, 1)])(tasks.add.s(1, 2))
        with pytest.raises(TypeError, match="positional argument"):
            result.get(timeout=60)

    def test_as_a_link(self, worker: DjangoWorker) -> None:
        result = tasks.add.apply_async((1, 2), link=chain(tasks.add.s(10), tasks.add.s(100)))
        assert result.get(timeout=60) == 3
        [child] = result.children
        backend: Any = get_task_backend()
        assert backend.wait_for_results([child], timeout=60)
        assert backend.get_result(child).result == 113

    def test_from_an_event_loop(self, worker: DjangoWorker) -> None:
        async def both() -> tuple[Any, Any]:
            one = await chain(tasks.add.s(1, 2), tasks.add.s(3)).aapply_async()
            several = await group(tasks.add.s(1, 1), tasks.add.s(2, 2)).aapply_async()
            return await one.aget(timeout=60), await several.aget(timeout=60)

        assert asyncio.run(both()) == (6, [2, 4])


class TestInMemory:
    def test_a_nested_one(self, memory: Any) -> None:
        result = (tasks.add.s(1, 1) | group(tasks.add.s(1), tasks.add.s(2)) | tasks.echo.s()).apply_async()
        assert result.state == "BLOCKED"
        memory.run_until_idle()
        assert result.get(timeout=0)[0] == [[3, 4]]

    def test_a_failure(self, memory: Any) -> None:
        result = chord([tasks.add.s(1, 1), tasks.add.s("x", 1)])(tasks.echo.s())
        memory.run_until_idle()
        with pytest.raises(ParentFailed, match="TypeError"):
            result.get(timeout=0)
        assert str(result.status) == "FAILED"

    def test_two_aliases_are_refused_by_name(self, memory: Any) -> None:
        with pytest.raises(InvalidTask, match="'other'") as caught:
            group(tasks.add.s(1, 1), tasks.add.s(1, 2).set(backend="other")).apply_async()
        assert "'default'" in str(caught.value)

    def test_linked_to_a_task(self, memory: Any) -> None:
        links = [chain(tasks.add.s(1), tasks.add.s(2)), group(tasks.add.s(5), tasks.add.s(6))]
        result = tasks.add.apply_async((1, 1), link=links, link_error=chain(tasks.echo.s(), tasks.echo.s()))
        memory.run_until_idle()
        first, second = result.children
        assert memory.get_result(first).result == 5
        assert memory.get_group(second).get() == [7, 8]

    def test_linked_to_a_task_of_another_alias_it_is_refused(self, memory: Any) -> None:
        steps = [tasks.add.s(1).set(backend="other"), tasks.add.s(2).set(backend="other")]
        with pytest.raises(InvalidTask, match=r"'other'.*'default'"):
            tasks.add.apply_async((1, 1), link=chain(steps))

    def test_routes_count(self, memory: Any) -> None:
        with (
            override_settings(TASK_ROUTES={"contract.app.tasks.echo": {"backend": "other"}}),
            pytest.raises(InvalidTask, match="'other'"),
        ):
            chain(tasks.add.s(1, 1), tasks.echo.s()).apply_async()

    def test_a_backend_without_a_store_is_refused(self, memory: Any) -> None:
        with pytest.raises(InvalidTask, match="runs no workflows"):
            group(tasks.add.s(1, 1).set(backend="at_once")).apply_async()

    def test_such_a_backend_refuses_them_as_links_before_it_runs_the_task(self, memory: Any) -> None:
        ran: list[str] = []
        task_started.connect(lambda **_: ran.append("it"), weak=False, dispatch_uid="ran")
        try:
            step = tasks.add.s(1).set(backend="twin")
            with pytest.raises(InvalidTask, match="runs no workflows"):
                tasks.add.apply_async((1, 1), backend="twin", link=chain(step, step))
            assert not ran
            result = tasks.add.apply_async((1, 1), backend="twin", link=chain(tasks.add.s(1), tasks.add.s(2)))
        finally:
            task_started.disconnect(dispatch_uid="ran")
        assert result.result == 2
        assert memory.run_until_idle()

    def test_arguments_are_checked_as_everywhere(self, memory: Any) -> None:
        with pytest.raises(TypeError):
            group(tasks.add.s(object(), 1)).apply_async()

    def test_receivers_hear_of_each_task(self, memory: Any) -> None:
        heard: list[str] = []

        def receive(task_result: Any, **_: Any) -> None:
            heard.append(task_result.id)

        task_enqueued.connect(receive)
        try:
            result = chain(tasks.add.s(1, 1), tasks.add.s(1)).apply_async()
        finally:
            task_enqueued.disconnect(receive)
        assert heard == [result.parent_id, result.id]

    async def test_a_group_is_no_task(self, memory: Any) -> None:
        """Whoever asks for it as for one is told how to."""
        found = await group([tasks.add.s(1, 1)]).aapply_async()
        with pytest.raises(TaskResultDoesNotExist, match=r"use get_group\(\)"):
            memory.get_result(found.id)
        with pytest.raises(TaskResultDoesNotExist, match=r"use get_group\(\)"):
            await memory.aget_result(found.id)

    def test_unknown_groups(self, memory: Any) -> None:
        result = tasks.add.enqueue(1, 1)
        for unknown in ("nope", result.id, "no id at all"):
            with pytest.raises(TaskResultDoesNotExist):
                memory.get_group(unknown)
        assert result.workflow is None
