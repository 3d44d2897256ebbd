"""The three tables of one store, as models that no app registry knows, and their creation.

``<name>_message`` holds unfinished messages and stays small, so that claims never meet finished ones;
``<name>_record`` holds finished ones; ``<name>_state`` holds leases, workflows, schedules and all else, a row each.
Their names are settings, which migrations cannot know, so they are made after those, at ``post_migrate``.
"""

from __future__ import annotations

import zlib
from functools import cache
from typing import Any, Final, NamedTuple, override

from django.apps.registry import Apps
from django.db import connections, models
from django.db.models import Q

from streamtasks.stores.rules import phases

__all__ = ["Tables", "create", "missing", "tables", "unlike"]

IDS: Final = 255
"""Characters of an id, a token or a name at most, in an index."""

SHORT: Final = 20
"""Characters of a table's name that names of indexes begin with."""

WORDS: Final = 700
"""Characters of the name of a state at most."""


class Tables(NamedTuple):
    """The models of one store."""

    message: type[Any]
    record: type[Any]
    state: type[Any]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tables."""
        return tuple(model._meta.db_table for model in self)


class _Name(models.CharField):  # type: ignore[type-arg]
    """Text that is compared exactly: MySQL ignores case unless it is told."""

    @override
    def db_type(self, connection: Any) -> str | None:
        found = super().db_type(connection)
        return f"{found} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if connection.vendor == "mysql" else found


class _Text(_Name):
    """Text in which nobody searches: a ``varchar`` of PostgreSQL gets a second index from Django, for LIKE."""

    @override
    def db_type(self, connection: Any) -> str | None:
        found = super().db_type(connection)
        return found and found.replace("varchar", "character varying") if connection.vendor == "postgresql" else found


def _id() -> Any:
    return _Text(max_length=IDS, primary_key=True)


def _text(length: int = IDS, **options: Any) -> Any:
    return _Text(max_length=length, default="", blank=True, **options)


def _number() -> Any:
    return models.BigIntegerField(default=0)


def _bytes() -> Any:
    return models.BinaryField(default=b"")


def _index(name: str, *fields: str, where: Q | None = None) -> models.Index:
    return models.Index(fields=fields, name=name, condition=where)


def _meta(registry: Apps, table: str, *indexes: models.Index) -> type:
    return type("Meta", (), {"apps": registry, "app_label": "streamtasks", "db_table": table, "indexes": indexes})


@cache
def tables(name: str) -> Tables:
    """Return the models of the tables whose names begin with ``name``."""
    registry: Any = Apps()
    ready = Q(phase__in=[phases.QUEUED, phases.SUSPECT])
    # Names of indexes are short, and on PostgreSQL no two tables may share one.
    short = name if len(name) <= SHORT else f"{name[: SHORT - 9]}_{zlib.crc32(name.encode()):08x}"
    message = {
        "id": _id(),
        "priority": models.SmallIntegerField(default=0),
        "queue": _text(),
        "task": _text(),  # for pauses; empty: it cannot be paused by its name
        "phase": _text(1),
        "place": _number(),
        "due_ms": _number(),
        "token": _text(),
        "attempts": models.IntegerField(default=0),
        "crashes": models.IntegerField(default=0),
        "lost": models.IntegerField(default=0),
        "first_ms": _number(),
        "started_ms": _number(),
        "settled": _text(),
        "limit_name": _text(),
        "limit_us": _number(),
        "limit_burst": models.IntegerField(default=0),
        "wait_rank": models.SmallIntegerField(default=0),
        "wait_number": _number(),
        "suspect": models.BooleanField(default=False),
        "expires_ms": _number(),
        "skip_reason": _text(),
        "after": _text(),
        "after_due_ms": _number(),
        "after_delay_ms": _number(),
        "then": _text(),
        "hears": _text(16),
        "enqueued_ms": _number(),
        "envelope": _bytes(),
        "history": _bytes(),
        "progress": _bytes(),
        "Meta": _meta(
            registry,
            f"{name}_message",
            _index(f"{short}_ready", "-priority", "place", where=ready),
            _index(f"{short}_due", "due_ms", where=Q(phase=phases.DELAYED)),
            _index(f"{short}_token", "token", where=~Q(token="")),
            _index(f"{short}_after", "after", where=Q(phase=phases.BLOCKED)),
            _index(f"{short}_wait", "limit_name", "wait_rank", "wait_number", where=Q(phase=phases.LIMITED)),
        ),
    }
    record = {
        "id": _id(),
        "state": _text(16),
        "token": _text(),
        "finished_ms": _number(),
        "expires_ms": _number(),
        "first_ms": _number(),
        "started_ms": _number(),
        "attempts": models.IntegerField(default=0),
        "deleted": models.BooleanField(default=False),
        "enqueued_ms": _number(),
        "envelope": _bytes(),
        "result": _bytes(),
        "history": _bytes(),
        "Meta": _meta(
            registry,
            f"{name}_record",
            _index(f"{short}_expires", "expires_ms"),
            _index(f"{short}_finished", "finished_ms"),
        ),
    }
    state = {
        "name": _Name(max_length=WORDS, primary_key=True),
        "kind": _text(12, db_index=True),
        "number": _number(),
        "expires_ms": _number(),
        "data": _bytes(),
        "Meta": _meta(registry, f"{name}_state"),
    }
    return Tables(
        *(_model(kind, fields) for kind, fields in (("Message", message), ("Record", record), ("State", state)))
    )


def _model(name: str, fields: dict[str, Any]) -> type[models.Model]:
    return type(name, (models.Model,), {**fields, "__module__": __name__})


def missing(using: str, name: str, *others: str) -> list[str]:
    """Return which of the tables, and of ``others``, a database does not have."""
    connection = connections[using]
    with connection.cursor() as cursor:
        known = set(connection.introspection.table_names(cursor))
    return [table for table in (*tables(name).names, *others) if table not in known]


def unlike(using: str, name: str) -> dict[str, list[str]]:
    """Return which of the tables lack columns, and which: they are of another program, or of another release."""
    connection, found = connections[using], {}
    with connection.cursor() as cursor:
        for model in tables(name):
            table = model._meta.db_table
            known = {column.name for column in connection.introspection.get_table_description(cursor, table)}
            if absent := [field.column for field in model._meta.fields if field.column not in known]:
                found[table] = absent
    return found


def create(using: str, name: str) -> list[str]:
    """Create the tables that a database does not have; return their names."""
    connection, found = connections[using], missing(using, name)
    if not found:
        return []
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode = WAL")  # kept in the file: who reads does not wait for who writes
    with connection.schema_editor() as editor:
        for model in tables(name):
            if model._meta.db_table in found:
                editor.create_model(model)
                if connection.vendor == "postgresql":
                    # Rows live for seconds here: what is dead is cleared away before there are many.
                    editor.execute(
                        f"ALTER TABLE {editor.quote_name(model._meta.db_table)} SET "
                        "(autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000)"
                    )
    return found
