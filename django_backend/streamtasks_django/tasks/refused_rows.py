"""Write a row of results alone, so that a value that the database refuses costs that value only."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.db import connections, transaction

from ..results.rows import REFUSED, write_rows
from .row_values import without_unstorable

__all__ = ["write_alone"]

logger = logging.getLogger("streamtasks.worker")


def write_alone(model: Any, row: Mapping[str, Any], using: str) -> None:
    """Write one row of a batch that the database refused; without what it refuses, if that is needed.

    Args:
        model: a subclass of `backends.database.models.TaskResult`.
        row: values by names of columns.
        using: alias of the database, in whose transaction it is a savepoint.
    """
    for some in (row, without_unstorable(row)):
        try:
            with transaction.atomic(using):
                write_rows(model, [some], using)
                # A foreign key that leads nowhere is found now, not when the transaction ends.
                connections[using].check_constraints([model._meta.db_table])
        except REFUSED as error:
            logger.warning("the row of task %s is refused: %s", row["id"], error)
        else:
            return
    logger.error("task %s has no row in %s", row["id"], model._meta.label)
