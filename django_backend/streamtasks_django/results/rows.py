"""Write and delete rows of results, in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, connections, router

__all__ = ["REFUSED", "DeleteBatch", "columns_of", "delete_rows", "split_extra", "write_rows"]

WRITTEN_AT_ONCE: Final = 500
DELETED_AT_ONCE: Final = (50, 500)
"""Fewest and most rows that are deleted at once."""

DELETE_S: Final = 0.03
"""For how long a deletion may hold locks, about, seconds."""

REFUSED: Final = (DataError, IntegrityError, ValidationError, TypeError, ValueError, OverflowError)
"""What is raised if a model or a database refuses a value."""


class DeleteBatch:
    """How many rows are deleted at once: so many that it takes about `DELETE_S`, also on a slow database."""

    def __init__(self) -> None:
        self.size = 200

    def run(self, delete: Callable[[int], int]) -> int:
        """Call something that deletes at most so many rows; return what it returns, how many there were."""
        began = time.perf_counter()
        found = delete(self.size)
        took_s = max(time.perf_counter() - began, 0.001)
        least, most = DELETED_AT_ONCE
        self.size = max(least, min(most, int(self.size * DELETE_S / took_s)))
        return found


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

    def delete(most: int) -> int:
        nonlocal deleted, reached
        old = rows.filter(finished_at__lt=before)
        if reached is not None:
            old = old.filter(finished_at__gte=reached)  # so that the index is not searched from its start again
        some = list(old.order_by("finished_at").values_list("pk", "finished_at")[:most])
        if some:
            reached = some[-1][1]
            _, counts = rows.filter(pk__in=[pk for pk, _ in some]).delete()
            deleted += counts.get(model._meta.label, 0)
        return len(some)

    batch = DeleteBatch()
    while batch.run(delete):
        pass
    return deleted
