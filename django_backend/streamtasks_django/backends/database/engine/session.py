"""Steps on one database: transactions that are repeated after faults, the lock between them, and the clock."""

from __future__ import annotations

import asyncio
import os
import time
import zlib
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

from django.db import connections, transaction
from django.db.models import F
from django.db.utils import DatabaseError, InterfaceError, OperationalError, ProgrammingError

from streamtasks.exceptions import StoreError, StoreUnavailable
from streamtasks.settings import StoreSettings
from streamtasks.stores.backoff import Backoff

from .tables import missing, tables

__all__ = ["Session", "close_all", "own_alias"]

_LOCK_ROW: Final = "lock:"


def own_alias(alias: str) -> str:
    """Return the alias of a worker's own connections to a database, which no code of the project closes or uses.

    They differ from the project's: they live as long as the process, and SQLite's begin with the write lock.
    """
    name = f"streamtasks of {alias}"
    databases: dict[str, Any] = connections.settings
    if name not in databases:
        given = databases[alias]
        own = {**given, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False, "ATOMIC_REQUESTS": False, "AUTOCOMMIT": True}
        own["OPTIONS"] = dict(given.get("OPTIONS") or {})
        if given["ENGINE"].endswith("sqlite3"):
            own["OPTIONS"].setdefault("timeout", 20)
            own["OPTIONS"]["transaction_mode"] = "IMMEDIATE"
            own["OPTIONS"].setdefault("init_command", "PRAGMA synchronous = NORMAL")
        databases[name] = own
    return name


_beside: dict[int, ThreadPoolExecutor] = {}


def loop_runs() -> bool:
    """Whether an event loop runs on this thread: Django uses no connection there."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def beside_loop() -> ThreadPoolExecutor:
    """Return the thread of this process for blocking calls that come from an event loop, as those of a channel do."""
    pid = os.getpid()
    if pid not in _beside:
        _beside.clear()  # its thread does not exist in a forked process
        _beside[pid] = ThreadPoolExecutor(1, "streamtasks-sql")
    return _beside[pid]


def close_all() -> None:
    """Close all connections of this thread, and of the one beside an event loop."""
    connections.close_all()
    if os.getpid() in _beside:
        _beside.pop(os.getpid()).submit(connections.close_all).result()


class Session:
    """Steps of one store on one database.

    Args:
        settings: of the store.
        alias: of the database.
        table: the beginning of the tables' names.
        own: use connections of its own; otherwise those of the project, so that what a producer enqueues in a
            transaction is part of it.
    """

    def __init__(self, settings: StoreSettings, alias: str, table: str, *, own: bool) -> None:
        self.settings = settings
        self.alias = alias
        self.table = table
        self.tables = tables(table)
        self._own = own
        self._lock_key = zlib.crc32(table.encode())
        self._checked = False

    @property
    def using(self) -> str:
        """The alias of its connections."""
        return own_alias(self.alias) if self._own else self.alias

    @property
    def connection(self) -> Any:
        """The connection of this thread."""
        return connections[self.using]

    @property
    def vendor(self) -> str:
        """The kind of database."""
        return str(self.connection.vendor)

    @property
    def lock_key(self) -> int:
        """The number of the lock that steps take on PostgreSQL."""
        return self._lock_key

    def run[T](self, work: Callable[[], T], retry_s: float | None = None) -> T:
        """Call ``work`` until the database answers; it may be repeated as it is.

        ``retry_s``: for how long, seconds; None: as the settings say. Inside the caller's transaction it is called
        once, because a fault has ended that transaction.

        Raises:
            StoreUnavailable: the database does not answer.
            StoreError: the tables are missing, or the database refuses what was asked.
        """
        if self._own and loop_runs():
            return beside_loop().submit(self.run, work, retry_s).result()
        deadline = time.monotonic() + (self.settings.timeout_s if retry_s is None else retry_s)
        backoff = Backoff(0.02, 0.5)
        while True:
            connection = self.connection
            inside = connection.in_atomic_block
            try:
                return work()
            except (OperationalError, InterfaceError) as error:
                if inside:
                    raise StoreUnavailable(self._away(error)) from error
                connection.close()
                if time.monotonic() >= deadline:
                    raise StoreUnavailable(self._away(error)) from error
                time.sleep(min(backoff.next_s(), max(0.0, deadline - time.monotonic())))
            except ProgrammingError as error:
                raise self._no_tables(error) from error
            except DatabaseError as error:
                raise StoreError(f"The database {self.alias!r} refuses: {error}".strip()) from error

    def close(self) -> None:
        """Close the connection of this thread, or the one beside an event loop."""
        if loop_runs():
            beside_loop().submit(self.close).result()
        else:
            self.connection.close()

    def _away(self, error: Exception) -> str:
        if absent := self._absent():
            return absent
        return f"The database {self.alias!r} does not answer: {error}".strip()

    def _absent(self) -> str:
        """Return what to say if tables are missing; empty: they are there, or nobody knows."""
        try:
            absent = missing(self.using, self.table)
        except DatabaseError:
            return ""
        return self.missing_text(absent) if absent else ""

    def _no_tables(self, error: Exception) -> StoreError:
        return StoreError(self._absent() or f"The database {self.alias!r} refuses: {error}".strip())

    def missing_text(self, absent: list[str]) -> str:
        """Return what to say if these tables are missing."""
        names = ", ".join(absent)
        return (
            f"The database {self.alias!r} has no table {names}: run `manage.py migrate --database {self.alias}`, "
            "which makes the tables of each DatabaseBackend and those of models."
        )

    @contextmanager
    def transaction(self) -> Generator[int]:
        """Make one transaction of what follows, and let no other step run meanwhile; yield the time, microseconds."""
        with transaction.atomic(using=self.using):
            yield self._lock()

    def _lock(self) -> int:
        connection = self.connection
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [self._lock_key])
            elif connection.vendor != "sqlite" or not self._own:  # SQLite's own ones have begun with the lock
                self._lock_by_row()
        return self.now_us()

    def _lock_by_row(self) -> None:
        """Write the row that all steps write: who comes second waits, and sees what the first has written."""
        states = self.tables.state.objects.using(self.using)
        if not states.filter(name=_LOCK_ROW).update(kind="lock"):
            states.bulk_create([self.tables.state(name=_LOCK_ROW, kind="lock", number=1)], ignore_conflicts=True)
            states.filter(name=_LOCK_ROW).update(kind="lock")

    def count_pushes(self) -> None:
        """Let others see that this step had pushes, on databases without notifications; it has locked the row."""
        if self.vendor not in ("postgresql", "sqlite"):
            self.tables.state.objects.using(self.using).filter(name=_LOCK_ROW).update(number=F("number") + 1)

    def version(self) -> int:
        """Return a number that differs once somebody may have to look, where the database cannot notify; else 0.

        SQLite's differs once another connection has changed something, that of others once a step has had pushes.
        """
        if self.vendor == "postgresql":
            return 0
        if self.vendor != "sqlite":
            rows = self.tables.state.objects.using(self.using).filter(name=_LOCK_ROW)
            return int(rows.values_list("number", flat=True).first() or 0)
        with self.connection.cursor() as cursor:
            cursor.execute("PRAGMA data_version")
            return int(cursor.fetchone()[0])

    def now_us(self) -> int:
        """Return the database's time, microseconds since the epoch. SQLite's is that of this machine."""
        connection = self.connection
        if connection.vendor == "postgresql":
            sql = "SELECT (extract(epoch from clock_timestamp()) * 1000000)::bigint"
        elif connection.vendor == "mysql":
            sql = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"
        else:
            return time.time_ns() // 1000
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return int(cursor.fetchone()[0])
