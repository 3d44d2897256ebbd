"""The outbox: calls are rows of the caller's transaction, and are relayed once to the store."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import F
from django.tasks import task_backends
from django.tasks.exceptions import TaskResultDoesNotExist
from django.test import TestCase, override_settings

from contract.app import tasks as contract_tasks
from contract.options import tasks_setting
from streamtasks.exceptions import StoreError, StoreUnavailable
from streamtasks.protocol.state import State
from streamtasks.stores.types import Limit, NewMessage
from streamtasks.stores.workflow_types import FanIn, KnownResult, NewWorkflow, Node
from streamtasks_django import chain, group
from streamtasks_django.outbox.content import decode_message, decode_workflow, encode_message, encode_workflow
from streamtasks_django.outbox.models import OutboxEntry
from streamtasks_django.worker.outbox_relay import OutboxRelay
from tests.support.outbox_kills import kill_producers
from tests.support.sql_stores import sql_kinds

if TYPE_CHECKING:
    from tests.support.sql_stores import SqlStores

tasks: Any = contract_tasks
_number = itertools.count(1)


@pytest.fixture
def _table() -> Iterator[None]:
    call_command("migrate", verbosity=0)
    yield
    call_command("migrate", "streamtasks_outbox", "zero", verbosity=0)


@pytest.fixture
def relay(embedded_site_url: str, _table: None) -> Iterator[OutboxRelay]:
    """The relay of the alias ``default``, without a worker."""
    prefix = (
        f"outboxed-{next(_number)}-{os.getpid()}:"  # a worker of other tests may serve this server: it is not emptied
    )
    with override_settings(TASKS=tasks_setting(embedded_site_url, prefix, outbox=True)):
        yield OutboxRelay(backend())


def backend() -> Any:
    return task_backends["default"]


def stored(*results: Any) -> list[bool]:
    return [one is not None for one in backend().stores.plain.read([result.id for result in results])]


def test_entries_are_relayed_after_the_commit_and_deleted(relay: OutboxRelay) -> None:
    with transaction.atomic():
        first = tasks.add.enqueue(1, 2)
        with transaction.atomic():
            undone = tasks.add.enqueue(3, 4)
            transaction.set_rollback(True)
        many = backend().enqueue_many([(tasks.add, [number, 0], {}) for number in range(150)])
    with transaction.atomic():
        lost = tasks.add.delay_on_commit(5, 6)
        transaction.set_rollback(True)
    outside = tasks.add.apply_async([7, 8], countdown=3600)
    assert stored(first, undone, lost, outside) == [False] * 4
    assert (first.state, outside.state) == (State.QUEUED, State.DELAYED)
    assert backend().get_result(many[149].id).args == [149, 0]
    for result in (undone, lost):
        with pytest.raises(TaskResultDoesNotExist):
            backend().get_result(result.id)
    relay.run()
    assert stored(first, undone, lost, outside, *many) == [True, False, False, True] + [True] * 150
    assert OutboxEntry.objects.count() == 0
    assert (first.state, outside.state) == (State.QUEUED, State.DELAYED)


@pytest.mark.usefixtures("orm_thread")
async def test_from_an_event_loop_entries_are_written_on_the_thread_of_the_orm(embedded_site_url: str) -> None:
    from asgiref.sync import sync_to_async

    await sync_to_async(call_command)("migrate", verbosity=0)
    with override_settings(TASKS=tasks_setting(embedded_site_url, "outboxed:", outbox=True)):
        result = await tasks.add.aenqueue(1, 2)
        members = await group(tasks.add.s(1, 2), tasks.add.s(3, 4)).aapply_async()
        assert await sync_to_async(OutboxEntry.objects.count)() == 2
        assert str((await backend().aget_result(result.id)).status) == "READY"
        assert str((await backend().aget_result(members.ids[0])).status) == "READY"


def test_workflows_are_one_entry(relay: OutboxRelay) -> None:
    with transaction.atomic():
        members = group(tasks.add.s(1, 2), tasks.add.s(3, 4)).apply_async()
        end = chain(tasks.add.s(1, 2), tasks.add.s(3)).apply_async()
    assert OutboxEntry.objects.count() == 2
    assert not members.ready()
    assert end.state == State.BLOCKED
    assert [str(one.status) for one in members.results] == ["READY", "READY"]
    relay.run()
    assert OutboxEntry.objects.count() == 0
    assert stored(end, *members.results) == [True] * 3


def test_what_is_relayed_twice_is_enqueued_once(relay: OutboxRelay) -> None:
    result = tasks.add.enqueue(1, 2)
    entry = OutboxEntry.objects.get()
    relay.run()
    entry.pk = None
    entry.save(force_insert=True)
    relay.run()
    assert backend().get_statistics()["pending_tasks"] == 1
    assert stored(result) == [True]


def test_an_entry_is_revoked_before_it_is_relayed(relay: OutboxRelay) -> None:
    """The server keeps the revocation until it knows the task; the rows of others go on."""
    revoked, kept = tasks.add.enqueue(1, 2), tasks.add.enqueue(3, 4)
    backend().revoke(revoked.id)
    assert (revoked.state, kept.state) == (State.QUEUED, State.QUEUED)
    relay.run()
    assert (revoked.state, kept.state) == (State.REVOKED, State.QUEUED)
    assert OutboxEntry.objects.count() == 0


def test_a_test_case_captures_no_callbacks_of_entries(relay: OutboxRelay) -> None:
    """What a test enqueues is a row of its transaction at once, and is relayed from there."""
    with transaction.atomic(), TestCase.captureOnCommitCallbacks(execute=True) as callbacks:
        result = tasks.add.delay_on_commit(1, 2)
        assert OutboxEntry.objects.count() == 1
    assert callbacks == []
    relay.run()
    assert stored(result) == [True]


def test_a_store_that_is_away_keeps_the_entries(relay: OutboxRelay) -> None:
    with override_settings(TASKS=tasks_setting("redis://127.0.0.1:1/0", "outboxed:", outbox=True)):
        result = tasks.add.enqueue(1, 2)
        end = chain(tasks.add.s(1, 2), tasks.add.s(3)).apply_async()
        assert len(group(tasks.add.s(1, 2)).apply_async()) == 1
        with pytest.raises(StoreUnavailable):
            OutboxRelay(backend()).run()
    assert OutboxEntry.objects.count() == 3
    relay.run()
    assert stored(result, end) == [True, True]


def test_a_delay_and_an_expiry_begin_with_the_call(relay: OutboxRelay) -> None:
    late = tasks.add.apply_async([1, 2], countdown=60)
    gone = tasks.add.apply_async([3, 4], expires=60)
    OutboxEntry.objects.update(created_at=F("created_at") - timedelta(hours=1))
    message = decode_message(OutboxEntry.objects.get(task_id=gone.id).content)
    assert message.expires_in_ms == 0
    assert message.expires_ms
    relay.run()
    assert backend().get_result(late.id).state == State.QUEUED


def test_an_entry_that_cannot_be_read_is_set_aside(relay: OutboxRelay) -> None:
    OutboxEntry.objects.create(backend="default", task_id="broken", content=b"{}")
    result = tasks.add.enqueue(1, 2)
    relay.run()
    assert stored(result) == [True]
    assert "not a message of the outbox" in OutboxEntry.objects.get().error


def test_a_missing_table_is_named(embedded_site_url: str) -> None:
    with override_settings(TASKS=tasks_setting(embedded_site_url, "outboxed:", outbox=True)):
        assert "streamtasks_outbox" not in connection.introspection.table_names()
        with pytest.raises(StoreError, match=r"no table streamtasks_outbox: run manage.py migrate"):
            OutboxRelay(backend()).run()
        found = [one.msg for one in run_checks(databases=["default"]) if one.id == "streamtasks.W010"]
        assert len(found) == 2, "of both aliases"
        assert "needs the table streamtasks_outbox" in found[0]
        assert not any(one.id == "streamtasks.W010" for one in run_checks(databases=["other"]))


def test_options_that_cannot_work_are_reported(embedded_site_url: str) -> None:
    setting = tasks_setting(embedded_site_url, "outboxed:", outbox=True)
    setting["default"]["OPTIONS"]["on_commit"] = True
    with override_settings(TASKS=setting):
        assert any("leave on_commit out" in message.msg for message in run_checks())
    setting["default"]["OPTIONS"]["on_commit"] = False
    with override_settings(TASKS=setting, INSTALLED_APPS=["streamtasks_django", "contract.app"]):
        assert any("add 'streamtasks_django.outbox' to INSTALLED_APPS" in message.msg for message in run_checks())


@pytest.mark.usefixtures("_table")
def test_in_memory_the_outbox_is_the_commit() -> None:
    setting = tasks_setting("memory://outbox", "outboxed:")
    setting["default"]["OPTIONS"]["outbox"] = True
    with override_settings(TASKS=setting):
        with transaction.atomic():
            result = tasks.add.enqueue(1, 2)
            assert stored(result) == [False]
        backend().run_until_idle()
        assert result.result == 3


def test_the_migration_is_that_of_the_model() -> None:
    call_command("makemigrations", "streamtasks_outbox", check=True, dry_run=True, verbosity=0)


def test_contents_survive() -> None:
    message = NewMessage("a", "q", -3, b"\xff{", 5, None, Limit("l", 7, 2), "b", 9, 0, "1", "aof")
    assert decode_message(encode_message(message)) == message
    new = NewWorkflow("w", [Node(message, "x", "g0.1")], 1, [FanIn(2, 1, True)], b"\x00plan", [KnownResult("v3", b"r")])
    assert decode_workflow(encode_workflow(new)) == new
    assert json.loads(encode_message(message))["id"] == "a"


@pytest.mark.slow
@pytest.mark.parametrize("kind", sql_kinds())
def test_producers_that_are_killed_around_their_commits(
    embedded_url: str, sql_stores: SqlStores, tmp_path: Path, seed: int, kind: str
) -> None:
    """Two workers relay at once; what was committed runs once recorded, and nothing else."""
    database = sql_stores.own_database(kind, f"killed_producers_{os.getpid()}")
    report = kill_producers(tmp_path, embedded_url, 6, seed, database)
    assert len(report.committed) >= 6
    assert dict(report.ran) == dict.fromkeys(report.committed, 1)


@pytest.mark.topology
def test_producers_that_are_killed_before_a_cluster(
    cluster_url: str, sql_stores: SqlStores, tmp_path: Path, seed: int
) -> None:
    """Rows go to all shards; each that was committed runs once recorded."""
    database = sql_stores.own_database(sql_kinds()[0], f"killed_before_cluster_{os.getpid()}")
    report = kill_producers(tmp_path, cluster_url, 3, seed, database, is_cluster=True)
    assert len(report.committed) >= 3
    assert dict(report.ran) == dict.fromkeys(report.committed, 1)
