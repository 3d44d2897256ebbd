"""Database connections of workers: none shared, none left to rot, none taken from under a running task."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.test import override_settings

from contract.app import tasks
from contract.options import tasks_setting
from streamtasks import Attempt, AttemptOutcome, Message, State
from streamtasks_django.worker import databases
from streamtasks_django.worker.databases import Databases
from tests.support.django_site import DjangoWorker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ATTEMPT = Attempt(Message(id="x", task="t"), 1, "w", 0, 0, 0)
DONE = AttemptOutcome(State.SUCCESS)


@pytest.fixture
def file_database(tmp_path: Path) -> Iterator[None]:
    """A database in a file: closing one in memory does nothing."""
    settings = connections.settings["default"]
    name, settings["NAME"] = settings["NAME"], str(tmp_path / "database.sqlite3")
    old = connections["default"]
    del connections["default"]
    yield
    databases.close_all()
    connections["default"] = old
    settings["NAME"] = name


def use() -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return connection.connection


def attempt(middleware: Databases, body: Any) -> Any:
    with middleware.around_run(ATTEMPT):
        value = body()
    middleware.after_outcome(ATTEMPT, DONE)
    return value


@pytest.mark.usefixtures("file_database")
def test_a_connection_is_let_go_after_an_attempt() -> None:
    attempt(Databases(), use)
    assert connection.connection is None


@pytest.mark.usefixtures("file_database")
def test_a_persistent_connection_stays_until_it_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", None)
    middleware = Databases()
    first = attempt(middleware, use)
    assert attempt(middleware, use) is first
    connection.errors_occurred = True
    monkeypatch.setattr(connection, "is_usable", lambda: False)
    middleware.around_run(ATTEMPT)
    assert connection.connection is None


@pytest.mark.usefixtures("file_database")
def test_queries_are_not_collected_for_ever() -> None:
    with override_settings(DEBUG=True):
        middleware = Databases()
        for _ in range(3):
            attempt(middleware, use)
        assert len(connection.queries_log) == 0


@pytest.mark.usefixtures("file_database")
def test_a_child_begins_and_ends_without_connections() -> None:
    use()
    with Databases().in_child():
        assert connection.connection is None
        use()
    assert connection.connection is None


@pytest.mark.usefixtures("file_database")
async def test_coroutines_give_up_their_connection_but_never_another_ones() -> None:
    middleware = Databases()
    in_the_middle, go_on = asyncio.Event(), asyncio.Event()

    async def run(body: Any) -> Any:
        async with middleware.around_run_async(ATTEMPT):
            value = await body()
        await middleware.after_outcome_async(ATTEMPT, DONE)
        return value

    async def long() -> tuple[Any, Any]:
        before = await sync_to_async(use)()
        in_the_middle.set()
        await go_on.wait()
        return before, await sync_to_async(lambda: connection.connection)()

    async def short() -> None:
        await sync_to_async(use)()

    waiting = asyncio.create_task(run(long))
    await in_the_middle.wait()
    await run(short)
    go_on.set()
    before, after = await waiting
    assert before is after is not None
    assert await sync_to_async(lambda: connection.connection)() is None


def test_children_and_attempts_share_no_connection(embedded_site_url: str, tmp_path: Path) -> None:
    with (
        override_settings(TASKS=tasks_setting(embedded_site_url, "database:")),
        DjangoWorker(tmp_path, embedded_site_url, "database:", "--concurrency", "2", "--backend", "default") as worker,
    ):
        results = [tasks.select.enqueue(number) for number in range(20)]
        for number, result in enumerate(results):
            assert worker.finish(result).return_value[0] == number
