"""Tasks in tables of one of the project's databases: for teams without Redis, or who want them in SQL.

::

    TASKS = {
        "default": {
            "BACKEND": "streamtasks_django.backends.database.DatabaseBackend",
            "OPTIONS": {"database_alias": "default", "table_name": "streamtasks"},
        }
    }

``manage.py migrate`` makes the tables of every DatabaseBackend of TASKS (``"streamtasks_django"`` must be in
INSTALLED_APPS). Workers: ``streamtasks-worker --backend default``, as for Redis. PostgreSQL is the reference; SQLite is
for development.

What differs from `streamtasks_django.backends.redis`:

* A plain call that is enqueued in a transaction of the same database is part of it: it runs after the commit, and not
  at all after a rollback. Calls with a rate limit, linked calls, workflows, schedules and revocations take effect at
  once, on a connection of their own; on SQLite they are part of the transaction.
* ``durability="replicated"`` is refused: what is committed is as safe as the database makes it.
* With the app ``"streamtasks_django.database"``, or with ``result_model``, every finished task has a row in the table
  of `streamtasks_django.models.TaskResult`, or of your model; it is written with the outcome.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, override

from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import Error
from django.db.utils import DatabaseError

from streamtasks import ConfigurationError, StoreSettings
from streamtasks.stores.factory import StoreKind, register

from ...conf.options import OPTIONS, shown, store_settings
from ...conf.row_options import RESULT_MODEL
from ...enqueue.store_alias import Stores
from ..base import StoreBackend
from .engine.aio import AsyncSqlStore
from .engine.fitness import configured_isolation, isolation_text, obstacle
from .engine.steps import Steps, address_of, receivers
from .engine.store import SqlStore
from .engine.tables import tables
from .result_rows import ResultRows

if TYPE_CHECKING:
    from django.core.checks import CheckMessage

    from ...worker.application import DjangoApplication

__all__ = ["DatabaseBackend"]

_NOT_HERE: Final = frozenset(
    {"connection", "connection_pool", "durability", "durability_timeout", "key_prefix", "max_connections"}
    | {"queue_expires", "replicas", "url", "outbox"}
)
_TABLE: Final = re.compile(r"[a-z_][a-z0-9_]{0,39}")

_stores: dict[StoreSettings, Stores] = {}
_lock = threading.Lock()

_keeper: Any = AsyncSqlStore  # it gets most of its methods when it is made, see `completed`
register("django", StoreKind(SqlStore, _keeper, _keeper))


class DatabaseBackend(StoreBackend):
    """Keep tasks and results in tables of one of the project's databases.

    OPTIONS has two keys of its own: ``database_alias``, a key of DATABASES (``"default"``), and ``table_name``, with
    which the names of the tables begin (``"streamtasks"``, and ``"streamtasks_<alias>"`` for other aliases than
    ``default``). What `streamtasks_django.conf.options` says of a server's address and of durability is not there.
    ``"result_model": None`` writes no rows of results, although the app for them is installed.
    """

    known_options = (OPTIONS - _NOT_HERE) | {"database_alias", "table_name"}
    _model: Any = None

    @override
    def read_settings(self) -> StoreSettings:
        return store_settings(self.alias, self.params.get("OPTIONS") or {}, self._address)

    @property
    @override
    def result_label(self) -> str | None:
        """The label of the model of the rows of results: that of the app for them, if OPTIONS name none."""
        if RESULT_MODEL not in (self.params.get("OPTIONS") or {}):
            has_app = apps.apps_ready and apps.is_installed("streamtasks_django.database")
            return "streamtasks_database.TaskResult" if has_app else None
        return super().result_label

    @property
    def model(self) -> Any:
        """The model of the rows of results; None: results have no rows. An ``__init__()`` may set it.

        Raises:
            ConfigurationError: there is no model of the name in OPTIONS.
        """
        return self._model or self.model_named(self.result_label)

    @model.setter
    def model(self, model: Any) -> None:
        self._model = model

    @property
    @override
    def keeps_rows(self) -> bool:
        return self._model is not None or self.result_label is not None

    @property
    @override
    def rows_database(self) -> str | None:
        """The alias of the database of the tasks: a row is written in the transaction of its task's outcome."""
        return address_of(self.store_settings)[0]

    def _receive_results(self) -> None:
        settings = self.store_settings
        if self.keeps_rows:
            receivers[address_of(settings)] = ResultRows(self)
        else:
            receivers.pop(address_of(settings), None)

    def _address(self, options: Mapping[str, Any]) -> dict[str, Any]:
        for name in sorted(_NOT_HERE & set(options)):
            raise ConfigurationError(
                f"{name} is given, but DatabaseBackend does not support it; leave it out, or use RedisBackend."
            )
        alias = options.get("database_alias", "default")
        if alias not in django_settings.DATABASES:
            known = ", ".join(sorted(django_settings.DATABASES)) or "none"
            raise ConfigurationError(f"database_alias is {shown(alias) if not isinstance(alias, str) else repr(alias)};"
                                     f" DATABASES has: {known}.")  # fmt: skip
        own = (
            "streamtasks" if self.alias == "default" else f"streamtasks_{re.sub('[^a-z0-9]', '_', self.alias.lower())}"
        )
        table = options.get("table_name", own[:40])
        if not isinstance(table, str) or not _TABLE.fullmatch(table):
            raise ConfigurationError(
                f"table_name is {table!r}; it must be at most 40 lower-case letters, digits and _, for example "
                "'streamtasks'."
            )
        return {"url": f"django://{alias}/{table}"}

    @cached_property
    def stores(self) -> Stores:
        """The store, shared by the whole process; it uses the connections of the project."""
        settings = self.store_settings
        self._receive_results()
        found = _stores.get(settings)
        if found is None:
            with _lock:
                plain = SqlStore(settings, own=False)
                found = _stores.setdefault(settings, Stores(plain, AsyncSqlStore(settings, plain)))
        return found

    @override
    def unfit_database(self, databases: Sequence[str]) -> str:
        """Return why the database of the tasks cannot hold them, if it is one of these; empty: it can."""
        session = Steps(self.store_settings, own=False).session
        return obstacle(session) if session.alias in databases else ""

    @override
    def application(self) -> DjangoApplication:
        """Return the alias as a worker serves it.

        Raises:
            ConfigurationError: the database cannot hold the tasks (see `engine.fitness`), or there is no such model of
                results.
        """
        session = Steps(self.store_settings, own=False).session
        self._receive_results()
        results = [self.row_model()._meta.db_table] if self.keeps_rows else []
        try:
            text = obstacle(session, *results)
        except DatabaseError:
            text = ""  # the database is away; the worker waits for it
        finally:
            session.connection.close()
        if text:
            raise ConfigurationError(text)
        return super().application()

    @override
    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Run the system checks of this alias; see `streamtasks_django.checks`."""
        try:
            alias, table = address_of(self.store_settings)
        except ConfigurationError:
            return super().check(**kwargs)  # it reports that
        return [*super().check(**kwargs), *self._wrong_isolation(alias), *self._owned_by_others(tables(table).names)]

    def _wrong_isolation(self, alias: str) -> list[CheckMessage]:
        level = configured_isolation(alias)
        return [Error(f"TASKS[{self.alias!r}]: {isolation_text(alias, level)}", id="streamtasks.E016")] if level else []

    def _owned_by_others(self, names: Sequence[str]) -> list[CheckMessage]:
        return [
            Error(
                f"TASKS[{self.alias!r}] uses the table {model._meta.db_table}, which is that of {model._meta.label}.",
                hint="Give the backend another table_name.",
                id="streamtasks.E015",
            )
            for model in apps.get_models(include_auto_created=True)
            if model._meta.db_table in names
        ]
