"""What a Django project says with its messages of who hears of their ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.tasks import task_backends
from django.tasks.signals import task_finished
from django.test import override_settings

from contract.app import classes, tasks
from streamtasks import Attempt, AttemptOutcome, Middleware
from streamtasks.protocol.heard import EVERYTHING, FAILURES
from streamtasks_django.backends.memory import MemoryBackend, forget
from streamtasks_django.enqueue.pipeline import prepare
from streamtasks_django.worker.application import DjangoApplication

URL = "memory://heard"
PATH = "streamtasks_django.backends.memory.MemoryBackend"


class Listener(Middleware):
    def after_outcome(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        pass


class Storing(MemoryBackend):
    def store_result(self, task_id: str, result: Any, status: str, **kwargs: Any) -> None:
        """It is there: that is enough."""


def setting(path: str = PATH) -> dict[str, Any]:
    return {"default": {"BACKEND": path, "OPTIONS": {"url": URL, "autostart": False}}}


@pytest.fixture(autouse=True)
def backend() -> Iterator[MemoryBackend]:
    with override_settings(TASKS=setting(), STREAMTASKS={}):
        found = task_backends["default"]
        assert isinstance(found, MemoryBackend)
        yield found
    forget(URL)


def hears(one: Any = tasks.add, *args: Any) -> str:
    found: Any = task_backends["default"]
    return prepare(found, one, args, {})[1].hears


def listens() -> bool:
    found: Any = task_backends["default"]
    return DjangoApplication(found).listens_to_ends


def test_by_itself_only_the_log_hears_and_only_of_failures() -> None:
    assert hears() == FAILURES
    assert not listens()


def test_receivers_of_task_finished_hear() -> None:
    def receiver(**_: Any) -> None:
        pass

    task_finished.connect(receiver)
    try:
        assert hears() == EVERYTHING
        assert listens()
    finally:
        task_finished.disconnect(receiver)
    assert hears() == FAILURES


def test_hooks_hear() -> None:
    assert hears(classes.data_migration_task) == EVERYTHING


def test_middleware_hears() -> None:
    with override_settings(STREAMTASKS={"MIDDLEWARE": [f"{__name__}.Listener"]}):
        assert hears() == EVERYTHING
        assert listens()
    assert hears() == FAILURES


def test_a_backend_that_stores_results_elsewhere_hears() -> None:
    with override_settings(TASKS=setting(f"{__name__}.Storing")):
        assert hears() == EVERYTHING
        assert listens()


def test_link_error_hears() -> None:
    linked: Any = tasks.add
    assert hears(linked.using(priority=3)) == FAILURES
    linked.apply_async((1, 2), link_error=linked.s(1))
    store: Any = task_backends["default"].stores.plain  # type: ignore[attr-defined]
    assert [one.hears for tag in store.tags for one in store.shard(tag).live.values()] == [EVERYTHING]


def test_a_revoked_task_is_heard_of_by_a_receiver(backend: MemoryBackend) -> None:
    heard: list[str] = []

    def receiver(task_result: Any, **_: Any) -> None:
        heard.append(task_result.id)

    silent = tasks.add.enqueue(1, 2)  # nothing heard of it when it was enqueued
    task_finished.connect(receiver)
    try:
        result = tasks.add.enqueue(1, 2)
        for one in (silent, result):
            assert backend.revoke(one.id)
        backend.run_until_idle()
    finally:
        task_finished.disconnect(receiver)
    assert heard == [result.id]
