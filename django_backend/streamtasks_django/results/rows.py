"""Write and delete rows of results, in batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, connections, router

__all__ = ["REFUSED", "columns_of", "delete_rows", "split_extra", "write_rows"]

WRITTEN_AT_ONCE: Final = 500
DELETED_AT_ONCE: Final = 500
"""So few that locks are short."""

REFUSED: Final = (DataError, IntegrityError, ValidationError, TypeError, ValueError, OverflowError)
"""What is raised if a model or a database refuses a value."""


def columns_of(model: Any) -> frozenset[str]:
    """Return the names under which a row takes values: those of fields, and of a foreign key also its ``..._id``."""
    return frozenset(name for field in model._meta.concrete_fields for name in (field.name, field.attname))


def split_extra(model: Any, extra: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide extra values into those for which a model has a column, and all others.

    A foreign key takes a key under its own name, too: ``created_by=3`` becomes ``created_by_id=3``.
    """
    columns: dict[str, Any] = {}
    others: dict[str, Any] = {}
    known = columns_of(model)
    for name, value in extra.items():
        if name in known:
            columns[model._meta.get_field(name).attname] = value
        else:
            others[name] = value
    return columns, others


def write_rows(model: Any, rows: Sequence[Mapping[str, Any]], using: str | None = None) -> None:
    """Insert rows, or update those whose id is there: writing the same again changes nothing.

    Args:
        model: a subclass of `backends.database.models.TaskResult`.
        rows: values by names of columns; an update leaves columns that a row does not name. The last with an id counts.
        using: alias of the database; None: where the routers write the model.

    Raises:
        django.db.Error: the database cannot be reached or refuses a value.
    """
    using = using or router.db_for_write(model)
    alike: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in {str(row["id"]): row for row in rows}.values():
        alike.setdefault(tuple(row), []).append(row)
    for names, some in alike.items():
        _write(model, names, some, using)


def _write(model: Any, names: Sequence[str], rows: Sequence[Mapping[str, Any]], using: str) -> None:
    targets = ["id"] if connections[using].features.supports_update_conflicts_with_target else None
    model._base_manager.using(using).bulk_create(
        [model(**row) for row in rows],
        batch_size=WRITTEN_AT_ONCE,
        update_conflicts=True,
        unique_fields=targets,
        update_fields=[model._meta.get_field(name).name for name in names if name != "id"],
    )


def delete_rows(model: Any, before: datetime, using: str | None = None) -> int:
    """Delete the rows of what finished before a time; return how many. Each batch is a transaction of its own."""
    using = using or router.db_for_write(model)
    rows = model._base_manager.using(using)
    deleted, reached = 0, None
    while True:
        old = rows.filter(finished_at__lt=before)
        if reached is not None:
            old = old.filter(finished_at__gte=reached)  # so that the index is not searched from its start again
        batch = list(old.order_by("finished_at").values_list("pk", "finished_at")[:DELETED_AT_ONCE])
        if not batch:
            return deleted
        reached = batch[-1][1]
        _, counts = rows.filter(pk__in=[pk for pk, _ in batch]).delete()
        deleted += counts.get(model._meta.label, 0)
