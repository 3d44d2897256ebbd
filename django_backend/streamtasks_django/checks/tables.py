"""Check the databases of tasks, outboxes and results; ``manage.py check --database ALIAS``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from django.db import connections, router

from streamtasks import ConfigurationError

from ..enqueue.store_alias import StoreAlias
from .aliases import store_aliases

__all__ = ["check_tables"]


def check_tables(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Check, for each alias of TASKS, the tables that it has in these databases; without databases nothing is asked."""
    if sys.argv[1:2] == ["migrate"]:
        return []  # which asks for this check at its beginning, and makes the tables
    return [message for backend in store_aliases() for message in _of_alias(backend, databases or ())]


def _of_alias(backend: StoreAlias, databases: Sequence[str]) -> Iterator[CheckMessage]:
    try:
        _ = backend.store_settings  # OPTIONS that are none are found by it
        needed = list(_needed(backend))
        text = backend.unfit_database(databases)
    except ConfigurationError:
        return  # reported by `check_alias`
    if text:
        yield checks.Warning(f"TASKS[{backend.alias!r}]: {text}", id="streamtasks.W010")
    for database, model in needed:
        table = model._meta.db_table
        if database in databases and table not in connections[database].introspection.table_names():
            yield checks.Warning(
                f"TASKS[{backend.alias!r}] needs the table {table}, which the database {database!r} does not have.",
                hint=f"Run manage.py migrate --database {database}.",
                id="streamtasks.W010",
            )


def _needed(backend: StoreAlias) -> Iterator[tuple[str, Any]]:
    """Yield the databases and models of an alias."""
    if backend.outbox_database is not None:
        from ..outbox.models import OutboxEntry  # only projects with an outbox have it

        yield backend.outbox_database, OutboxEntry
    if backend.keeps_rows:
        model = backend.row_model()
        yield backend.rows_database or router.db_for_write(model), model
