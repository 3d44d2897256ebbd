"""Write the rows of results of finished tasks, in the transaction that records their outcomes."""

from __future__ import annotations

from collections.abc import Sequence

from streamtasks.stores.memory.read import finished_snapshot

from ...enqueue.store_alias import StoreAlias
from ...results.rows import write_rows
from ...tasks.refused_rows import write_alone
from ...tasks.row_values import is_engines, row_of_snapshot
from .engine.shard import Finished

__all__ = ["ResultRows"]


class ResultRows:
    """The receiver of what finishes in a store; see `engine.steps.Receiver`.

    Args:
        backend: the alias whose model the rows have.
    """

    def __init__(self, backend: StoreAlias) -> None:
        self._model = backend.row_model()
        self._wire = backend.store_settings.wire
        # What an override of store_result() has made of the extra values stays.
        self._extra = not backend.wants_outcomes

    def __call__(self, using: str, finished: Sequence[Finished], one_by_one: bool) -> None:
        """Write the rows of records; ``one_by_one``: without values that the database refuses."""
        rows = []
        for task_id, record in finished:
            if record.deleted:
                continue  # only its id is still known
            snapshot = finished_snapshot(task_id, record)
            snapshot.wire = self._wire
            row = row_of_snapshot(self._model, snapshot, extra=self._extra)
            if not is_engines(row):
                rows.append(row)
        if not one_by_one:
            write_rows(self._model, rows, using)
            return
        for row in rows:
            write_alone(self._model, row, using)
