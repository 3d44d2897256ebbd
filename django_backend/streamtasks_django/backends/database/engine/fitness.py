"""Whether a database can hold the tasks of a store: its tables, their columns, and the isolation of transactions."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction

from .session import Session
from .tables import missing, unlike

__all__ = ["configured_isolation", "isolation_text", "obstacle"]

_FIT: Final = {"postgresql": {"read committed", "read uncommitted"}, "mysql": {"read committed"}}
"""Levels that fit. On PostgreSQL they are the same."""


def isolation_text(alias: str, level: str) -> str:
    """Return what to say if transactions of a database have this level of isolation."""
    return (
        f"Transactions of the database {alias!r} are {level.upper()}, but DatabaseBackend needs READ COMMITTED: who "
        "has waited for a lock must see what the one before has written. Remove isolation_level from OPTIONS of "
        f"DATABASES[{alias!r}], and default_transaction_isolation from the server's settings; or name another alias of "
        "DATABASES without it in database_alias, and this one in on_commit."
    )


def configured_isolation(alias: str) -> str:
    """Return the level that DATABASES asks for if it does not fit; empty: it fits, or the server decides."""
    value = (connections.settings[alias].get("OPTIONS") or {}).get("isolation_level")
    if value is None:
        return ""
    try:
        vendor, level = connections[alias].vendor, str(value).lower()
        if vendor == "postgresql":
            from django.db.backends.postgresql.psycopg_any import IsolationLevel

            level = IsolationLevel(value).name.lower().replace("_", " ")
    except (ImproperlyConfigured, ValueError):
        return ""  # no driver, or no such level: Django says so
    return "" if level in _FIT.get(vendor, {level}) else level


def _isolation(connection: Any) -> str:
    """Return the level of a connection if it does not fit, in transactions or outside of them; else empty."""
    if connection.vendor == "postgresql":
        names = "current_setting('transaction_isolation'), current_setting('default_transaction_isolation')"
    elif connection.vendor == "mysql":
        names = "@@tx_isolation" if connection.mysql_is_mariadb else "@@transaction_isolation"
    else:
        return ""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(f"SELECT {names}")
        levels = [level.lower().replace("-", " ") for level in cursor.fetchone()]
    return next((level for level in levels if level not in _FIT[connection.vendor]), "")


def obstacle(session: Session, *others: str) -> str:
    """Return why tasks cannot be in a database, and what to do; empty: they can.

    Args:
        session: of the store.
        others: tables that must be there as well.

    Raises:
        DatabaseError: the database does not answer.
    """
    absent = missing(session.using, session.table, *others)
    if absent:
        return session.missing_text(absent)
    for table, columns in unlike(session.using, session.table).items():
        return (
            f"The table {table} of the database {session.alias!r} has no column {', '.join(columns[:3])}: this release "
            "of DatabaseBackend has not made it. Give the backend another table_name; or, if an older release made it "
            "and its tasks are not needed, drop it and run `manage.py migrate`."
        )
    level = _isolation(session.connection)
    return isolation_text(session.alias, level) if level else ""
