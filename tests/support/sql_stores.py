"""Empty SQL stores for tests: on a PostgreSQL or MariaDB of the test process, or in a file of SQLite."""

from __future__ import annotations

import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.django_site import SETTINGS, SITE
from tests.support.mariadb import MariaDb
from tests.support.postgres import Postgres, find_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from streamtasks import StoreSettings

TABLE = "contract"

ALL_VARIABLE = "STREAMTASKS_TEST_SQL"
"""Set to ``all`` to run the whole contract on PostgreSQL and SQLite, which takes minutes; to ``mariadb``: on that."""

FILES = ("test_store", "test_supervisor_store", "test_steering", "test_paused_tasks", "test_bulk")
"""What of the contract runs in every run, on PostgreSQL; the transitions are those of the memory store."""

SHARDED = (
    "test_many_shards_on_one_server",
    "test_two_prefixes_do_not_see_each_other",
    "test_on_the_shard_of_its_name",
    "test_running_ones_of_all_shards_the_longest_first",
    "test_counts_of_all_shards",
    "test_one_that_nothing_is_in_goes_from_every_shard",
    "test_empty_queues_go_by_themselves_and_come_back",
    "test_all_shards_are_paused",
    "test_all_shards_are_paused_and_resumed_whole",
)
"""Tests of shards, key prefixes and streams, which SQL stores do not have: a table name takes the place of a prefix."""

WITHOUT = ("test_store_shards",)
"""Files of which SQL stores have nothing: several shards."""


def sql_kinds() -> list[str]:
    """Return the kinds of SQL store that can be tested here."""
    if os.environ.get(ALL_VARIABLE) == "mariadb":
        return ["mariadb"]
    return ["postgres", "sqlite"] if find_postgres() else ["sqlite"]


def is_left_out(item: pytest.Item) -> bool:
    """Whether a test is not run on the SQL store for which it was collected."""
    kind = getattr(item, "callspec", None) and item.callspec.params.get("store_url")  # type: ignore[attr-defined]
    if kind not in ("postgres", "sqlite", "mariadb"):
        return False
    if item.originalname in SHARDED or item.path.stem in WITHOUT:  # type: ignore[attr-defined]
        return True
    return ALL_VARIABLE not in os.environ and (kind == "sqlite" or item.path.stem not in FILES)


def set_up_django() -> None:
    """Set up the project of the Django tests, once in a process."""
    if str(SITE) not in sys.path:
        sys.path.insert(0, str(SITE))
    os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS
    import django
    from django.apps import apps

    if not apps.ready:
        django.setup()


def notifies(store_url: str) -> bool:
    """Whether other processes hear at once, and in words, what happens in a store."""
    return store_url not in (f"django://contract_sqlite/{TABLE}", f"django://contract_mariadb/{TABLE}")


def empty(store_url: str) -> None:
    """Delete all rows of a store."""
    from streamtasks_django.backends.database.engine.session import own_alias
    from streamtasks_django.backends.database.engine.tables import tables

    alias, _, table = store_url.removeprefix("django://").partition("/")
    for model in tables(table):
        model.objects.using(own_alias(alias)).all().delete()


def close_connections() -> None:
    """Close the connections to databases of this thread, which ends."""
    if "django.db" in sys.modules:
        from django.db import connections

        connections.close_all()


class SqlStores:
    """The stores of one test process; ``close`` ends what was started for them."""

    def __init__(self) -> None:
        self._postgres: Postgres | None = None
        self._mariadb: MariaDb | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def url(self, kind: str) -> str:
        """Return the URL of an empty store."""
        set_up_django()
        from django.db import connections

        import_module("streamtasks_django.backends.database")  # registers the kind of store
        from streamtasks_django.backends.database.engine.session import own_alias
        from streamtasks_django.backends.database.engine.tables import create

        alias = f"contract_{kind}"
        if alias not in connections.settings:
            add_database(alias, self.database(kind))
            create(own_alias(alias), TABLE)
        empty(f"django://{alias}/{TABLE}")
        return f"django://{alias}/{TABLE}"

    def database(self, kind: str) -> dict[str, Any]:
        """Return an entry of DATABASES."""
        if kind == "postgres":
            if self._postgres is None:
                self._postgres = Postgres()
                self._postgres.__enter__()
            return self._postgres.database
        if kind == "mariadb":
            if self._mariadb is None:
                self._mariadb = MariaDb()
                self._mariadb.__enter__()
            return self._mariadb.database
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="sqlite")
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(Path(self._folder.name) / "database.sqlite3")}

    def own_database(self, kind: str, name: str) -> dict[str, Any]:
        """Return an entry of DATABASES for an empty database that no other test uses."""
        database = self.database(kind)
        if self._postgres is not None and kind == "postgres":
            self._postgres.create_database(name)
            return {**database, "NAME": name}
        if self._mariadb is not None and kind == "mariadb":
            self._mariadb.create_database(name)
            return {**database, "NAME": name}
        return {**database, "NAME": str(Path(database["NAME"]).with_name(f"{name}.sqlite3"))}

    def close(self) -> None:
        """End the server and delete the file."""
        if self._postgres is not None:
            self._postgres.__exit__()
        if self._mariadb is not None:
            self._mariadb.__exit__()
        if self._folder is not None:
            self._folder.cleanup()


def add_database(alias: str, database: dict[str, Any]) -> None:
    """Add an entry to DATABASES of the running project."""
    from django.db import connections

    whole = connections.configure_settings({"default": {}, alias: database})
    connections.settings[alias] = whole[alias]


def change_states(settings: StoreSettings, names: list[str], change: Callable[[Any], Any]) -> None:
    """Change what some rows of a store's states hold."""
    from streamtasks_django.backends.database.engine.codec import decode, encode
    from streamtasks_django.backends.database.engine.steps import Steps

    session = Steps(settings).own

    def work() -> None:
        for row in session.tables.state.objects.using(session.using).filter(name__in=names):
            row.data = encode(change(decode(bytes(row.data))))
            row.save(using=session.using)

    session.run(work)


def sql_stores() -> Iterator[SqlStores]:
    """Yield the stores, and end them; for a fixture of the session."""
    stores = SqlStores()
    yield stores
    if "django.db" in sys.modules:
        from streamtasks_django.backends.database.engine.session import close_all

        close_all()
    stores.close()
