"""What only SQL stores do: rows that have expired are deleted however many they are, and ids that are young are new."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections, transaction

from streamtasks import Message, StoreSettings
from streamtasks.protocol.shards import new_id
from streamtasks.stores.factory import open_store, open_supervisor_store
from streamtasks.stores.types import Limit, NewMessage
from tests.support.manual_consumer import Consumer
from tests.support.sql_stores import TABLE, add_database, sql_kinds
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.support.sql_stores import SqlStores

MANY = 450


@pytest.fixture(params=sql_kinds())
def settings(request: pytest.FixtureRequest, sql_stores: SqlStores) -> StoreSettings:
    return StoreSettings(url=sql_stores.url(request.param), timeout_s=60.0, enqueue_timeout_s=60.0)


def new(task_id: str, task: str = "shop.add", **more: Any) -> NewMessage:
    message = Message(id=task_id, task=task)
    return NewMessage(task_id, "default", 0, message.encode(1 << 20), **more)


def finish_in_sql(settings: StoreSettings, messages: list[NewMessage]) -> None:
    """Move messages to the records, as a settlement does."""
    rows(settings, "message").filter(id__in=[one.id for one in messages]).delete()
    records = rows(settings, "record")
    records.bulk_create(
        [records.model(id=one.id, state="SUCCESS", finished_ms=1, expires_ms=2**62) for one in messages]
    )


def somebody_waits(using: str) -> bool:
    """Whether a transaction waits for a lock. MariaDB looks ten times a second at most: ask less often."""
    waiting = "pg_locks WHERE NOT granted"
    if connections[using].vendor == "mysql":
        waiting = "information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {waiting}")
        return bool(cursor.fetchone()[0])


def rows(settings: StoreSettings, name: str) -> Any:
    from streamtasks_django.backends.database.engine.steps import Steps

    session = Steps(settings).own
    return getattr(session.tables, name).objects.using(session.using)


async def test_one_sweep_deletes_all_that_has_expired(settings: StoreSettings) -> None:
    store = open_store(settings)
    keeper: Any = open_supervisor_store(settings)
    store.enqueue([new("kept")])
    with Consumer(store) as hand:
        hand.succeed()
    await keeper.call(make_old, settings)
    await keeper.sweep("u0", 0)
    kept = await keeper.call(lambda: list(rows(settings, "record").values_list("id", flat=True)))
    workflows = await keeper.call(rows(settings, "state").filter(kind="workflow").count)
    assert (kept, workflows) == (["kept"], 0)


def make_old(settings: StoreSettings) -> None:
    records, states = rows(settings, "record"), rows(settings, "state")
    records.bulk_create([records.model(id=f"{n}", state="SUCCESS", expires_ms=1) for n in range(MANY)])
    states.bulk_create(
        [states.model(name=f"workflow:{n}", kind="workflow", expires_ms=1, data=b"1") for n in range(50)]
    )


def test_a_young_id_is_enqueued_once(settings: StoreSettings) -> None:
    store = open_store(settings)
    task_id = new_id(settings.tags)
    assert store.enqueue([new(task_id)]) == [True]
    assert store.enqueue([new(task_id), new(new_id(settings.tags))]) == [False, True]
    with Consumer(store) as hand:
        assert task_id in hand.succeed()
    assert store.enqueue([new(task_id)]) == [False]


async def test_calls_of_a_paused_task_hold_no_token_of_their_limit(settings: StoreSettings) -> None:
    """What shares the limit goes on; those that are admitted already, or are handed back, wait for it again."""
    store, keeper = open_store(settings), open_supervisor_store(settings)
    shared, quick = Limit("shared", 3_600_000_000), Limit("quick", 1000)
    with Consumer(store) as child:
        store.enqueue([new("held", limit=quick), new("admitted", limit=quick)])
        assert (await keeper.admit("u0")).admitted == 2
        [held] = child.claim(1)
        store.pause("", "ann", "", "shop.add")
        await keeper.hand_back("u0", [held])
        store.enqueue([new("paused", limit=shared), new("other", "shop.sell", limit=shared)])
        assert (await keeper.admit("u0")).admitted == 1
        assert [one.id for one in child.claim()] == ["other"]
        assert [one.state for one in store.read(["held", "admitted", "paused"]) if one] == ["LIMITED"] * 3
        store.resume("", "shop.add")
        assert (await keeper.admit("u0")).admitted == 2
        assert sorted(one.id for one in child.claim()) == ["admitted", "held"]


def test_ids_queues_and_tasks_that_differ_in_case_are_others(settings: StoreSettings) -> None:
    store = open_store(settings)
    assert store.enqueue([new("a"), new("A", "Shop.Add"), new("b")._replace(queue="Default")]) == [True] * 3
    assert store.pause("Default", "ann", "")
    assert store.pause("default", "ann", "")
    assert store.resume("default")
    store.pause("", "ann", "", "shop.add")
    with Consumer(store) as child:
        assert child.succeed() == ["A"]
    assert [one.state for one in store.read(["a", "A"]) if one] == ["QUEUED", "SUCCESS"]


def test_tables_whose_names_begin_alike_are_beside_each_other(settings: StoreSettings) -> None:
    """The names of their indexes, which are shorter, differ as well."""
    from streamtasks_django.backends.database.engine.session import own_alias
    from streamtasks_django.backends.database.engine.tables import create, tables

    using = own_alias(settings.url.removeprefix("django://").partition("/")[0])
    for name in ("streamtasks_marketing_a", "streamtasks_marketing_b"):
        create(using, name)
        names = [index.name for model in tables(name) for index in model._meta.indexes]
        assert max(map(len, names)) <= 30


@pytest.mark.skipif("postgres" not in sql_kinds(), reason="PostgreSQL is not installed")
def test_a_claim_does_not_sort_what_waits(sql_stores: SqlStores) -> None:
    """The index has the order of claims, so that their time does not grow with the queue."""
    live = rows(StoreSettings(url=sql_stores.url("postgres")), "message")
    waiting = live.filter(phase__in=["Q", "S"]).order_by("-priority", "place")[:10]
    with transaction.atomic(using=live.db):
        with connections[live.db].cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        plan = waiting.explain()
    assert "contract_ready" in plan, plan
    assert "Sort" not in plan, plan


@pytest.mark.skipif("postgres" not in sql_kinds(), reason="PostgreSQL is not installed")
@pytest.mark.parametrize("count", [1, 2], ids=["one", "many"])
def test_an_id_that_finishes_while_it_is_enqueued_is_known(sql_stores: SqlStores, count: int) -> None:
    """Its row goes from one table to the other between the look at the second and the insertion into the first."""
    settings = StoreSettings(url=sql_stores.url("postgres"), timeout_s=60.0, enqueue_timeout_s=60.0)
    store = open_store(settings)
    messages = [new(new_id(settings.tags)) for _ in range(count)]
    store.enqueue(messages)
    live = rows(settings, "message")

    def enqueue_again() -> list[bool]:
        try:
            return store.enqueue(messages)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(using=live.db):
            finish_in_sql(settings, messages)
            again = pool.submit(enqueue_again)
            wait_until(lambda: somebody_waits(live.db), "the insertion waits for the transaction")
        assert again.result() == [False] * count
    assert live.count() == 0
    log = (Path(connections[live.db].settings_dict["HOST"]) / "server.log").read_text()
    assert "division" not in log
    assert messages[0].id not in log, "the server has no error of it"


def at_level(sql_stores: SqlStores, kind: str, level: str) -> tuple[StoreSettings, StoreSettings]:
    """Return an empty store, and the same one by connections whose transactions have this level of isolation."""
    settings = StoreSettings(url=sql_stores.url(kind), timeout_s=60.0, enqueue_timeout_s=60.0)
    alias, database = f"{kind}_{level.replace(' ', '_')}", sql_stores.database(kind)
    options = {"options": f"-c default_transaction_isolation={level.replace(' ', chr(92) + ' ')}"}
    if kind == "mariadb":
        options = {"isolation_level": level}
    add_database(alias, {**database, "OPTIONS": {**database["OPTIONS"], **options}})
    return settings, replace(settings, url=f"django://{alias}/{TABLE}")


SERVERS = [kind for kind in sql_kinds() if kind != "sqlite"]


@pytest.mark.parametrize("level", ["read committed", "repeatable read"])
@pytest.mark.parametrize("kind", SERVERS)
def test_who_has_waited_sees_what_the_one_before_has_written(sql_stores: SqlStores, kind: str, level: str) -> None:
    """At other levels PostgreSQL blocks a call for ever that is linked to a task which ends at the same moment.

    On MariaDB, what a step sees begins behind the lock.
    """
    from streamtasks_django.backends.database.engine.fitness import obstacle
    from streamtasks_django.backends.database.engine.steps import Steps

    settings, other = at_level(sql_stores, kind, level)
    parent, linked = new("parent"), new("linked", after="parent")
    open_store(settings).enqueue([parent])

    def link() -> Any:
        try:
            return open_store(other).enqueue([linked])
        finally:
            connections.close_all()

    own = Steps(settings).own
    with ThreadPoolExecutor(1) as pool:
        with own.transaction():
            finish_in_sql(settings, [parent])
            done = pool.submit(link)
            wait_until(lambda: somebody_waits(own.using), "the step waits for the lock", every_s=0.2)
        assert done.result() == [True]
    is_blocked = kind == "postgres" and level == "repeatable read"
    assert rows(settings, "message").get(id="linked").phase == ("B" if is_blocked else "Q")
    session = Steps(other).own
    text = obstacle(session)
    session.connection.close()
    if level == "read committed":
        assert text == ""
    else:
        assert f"{level.upper()}, but DatabaseBackend needs READ COMMITTED" in text


@pytest.mark.parametrize(("level", "is_new"), [("read committed", False), ("repeatable read", True)])
@pytest.mark.parametrize("kind", SERVERS)
def test_only_read_committed_shows_a_transaction_that_a_call_it_repeats_has_finished(
    sql_stores: SqlStores, kind: str, level: str, is_new: bool
) -> None:
    """At other levels it would run a second time."""
    from streamtasks_django.backends.database.engine.store import SqlStore

    settings, other = at_level(sql_stores, kind, level)
    store, message = SqlStore(other, own=False), new("a")
    with transaction.atomic(using=store.session.using):
        assert store.read(["a"]) == [None]
        open_store(settings).enqueue([message])
        finish_in_sql(settings, [message])
        assert store.enqueue([message]) == [is_new]
        transaction.set_rollback(True, using=store.session.using)
    store.session.close()


@pytest.mark.skipif("postgres" not in sql_kinds(), reason="PostgreSQL is not installed")
def test_who_waits_listens_on_the_connection_it_has(sql_stores: SqlStores) -> None:
    settings = StoreSettings(url=sql_stores.url("postgres"), timeout_s=60.0, enqueue_timeout_s=60.0)
    store: Any = open_store(settings)
    task_id = new_id(settings.tags)
    store.enqueue([new(task_id)])
    connection = store.session.connection

    def asked(sql: str) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()

    def finish() -> None:
        try:
            with Consumer(open_store(settings)) as hand:
                hand.succeed()
        finally:
            connections.close_all()

    backend = asked("SELECT pg_backend_pid()")
    from streamtasks_django.backends.database.engine.listener import EndListener

    with EndListener(store.session, [task_id]) as listener, ThreadPoolExecutor(1) as pool:
        assert asked("SELECT pg_listening_channels()") == ("contract_ends",)
        pool.submit(finish).result()
        assert asked("SELECT 1") == (1,)  # what this reads besides its answer is not lost
        began = time.monotonic()
        listener.wait(60.0)
        connection.close()
        listener.wait(60.0)  # on the new connection
        assert time.monotonic() - began < 50.0, "it has not noticed"
        assert asked("SELECT pg_listening_channels()") == ("contract_ends",)
    assert asked("SELECT pg_listening_channels()") is None
    assert asked("SELECT pg_backend_pid()") != backend


@pytest.mark.parametrize("events", [False, True], ids=["", "events"])
def test_plain_calls_are_a_part_of_the_callers_transaction(settings: StoreSettings, events: bool) -> None:
    from streamtasks_django.backends.database.engine.store import SqlStore

    store = SqlStore(replace(settings, send_events=events), own=False)
    other, using = open_store(settings), store.session.using
    store.enqueue([new("known")])
    limited = new("limited", limit=Limit("slow", 1000))
    mixed = [new("a"), limited, new("later", delay_ms=60_000), new("a"), new("known")]

    def states() -> list[str]:
        return ["" if one is None else one.state for one in other.read(["a", "later", "limited"])]

    with transaction.atomic(using=using):
        assert store.enqueue(mixed) == [True, True, True, False, False]
        assert states()[:2] == ["", ""]
        transaction.set_rollback(True, using=using)
    at_once = "" if store.session.vendor == "sqlite" else "LIMITED"
    assert states() == ["", "", at_once]
    with transaction.atomic(using=using):
        store.enqueue([new("a")])
        with transaction.atomic(using=using):
            store.enqueue([new("later", delay_ms=60_000)])
            transaction.set_rollback(True, using=using)
    assert states() == ["QUEUED", "", at_once]
