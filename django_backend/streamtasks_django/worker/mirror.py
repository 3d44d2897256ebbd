"""Copy finished tasks from a server into the table of ``result_model``, each exactly once.

The indexes of what finished, which the server has anyway, are the queue; how far they have been copied stands in the
database and changes in the transaction that writes the rows. So a copy that is interrupted has not happened, and
nothing has to be acknowledged to the server. A database that is away holds nothing up and fills nothing: what finishes
meanwhile stays on the server until it expires, and is copied when the database is back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from django.apps import apps
from django.db import router, transaction
from django.utils import timezone

from streamtasks.protocol.state import Snapshot
from streamtasks.stores.redis import RedisStore

from ..enqueue.store_alias import StoreAlias
from ..results.rows import REFUSED, write_rows
from ..tasks.refused_rows import write_alone
from ..tasks.row_values import is_engines, row_of_snapshot

__all__ = ["ResultMirror"]

BATCH: Final = 500
"""About how many tasks one transaction copies."""

BUSY_SHARE: Final = 0.1
"""The share of its time that copying takes while tasks wait to run."""

MOST_BEHIND_S: Final = 60.0
"""Once the next task to copy finished longer ago than this, copying takes all the time that it needs."""

EVERYWHERE_S: Final = 300.0
"""How often all indexes are looked at, seconds."""

ACTIVE: Final = timedelta(seconds=3)
"""For how long after its last copy a worker has a shard for itself."""

logger = logging.getLogger("streamtasks.worker")


class ResultMirror:
    """The copying of one alias, in one process.

    Args:
        backend: the alias; its OPTIONS have ``result_model``.
        worker: the name of this process.
    """

    def __init__(self, backend: StoreAlias, worker: str) -> None:
        self._backend = backend
        self._worker = worker
        store = backend.stores.plain
        assert isinstance(store, RedisStore)
        self._store = store
        self._model = backend.row_model()
        self._using = backend.rows_database or router.db_for_write(self._model)
        self._positions = apps.get_model("streamtasks_database", "MirrorPosition").objects.using(self._using)
        self._looked_at: dict[str, float] = {}
        self._looking: set[str] = set()
        """Shards all of whose indexes are being looked at, page by page."""

    def copy_all(self, pause: Callable[[float], bool]) -> int:
        """Copy what has finished on any shard; return how many tasks.

        Args:
            pause: is called with seconds to sleep; True: stop soon.

        Raises:
            StoreError: the server cannot be reached.
            django.db.Error: the database cannot.
        """
        copied = 0
        for tag in self._store.tags:
            while True:
                began = time.monotonic()
                done = self.copy(tag)
                if done is None:
                    break
                some, behind_s = done
                copied += some
                if pause(self._rest_s(time.monotonic() - began, behind_s)):
                    return copied
        return copied

    def _rest_s(self, took_s: float, behind_s: float) -> float:
        if behind_s > MOST_BEHIND_S:
            return 0.0
        counts = self._store.statistics()
        if counts.unfinished <= counts.delayed:
            return 0.0
        return min(1.0, took_s * (1 / BUSY_SHARE - 1))

    def copy(self, tag: str) -> tuple[int, float] | None:
        """Copy a batch of one shard in one transaction.

        Returns:
            How many tasks were copied, and how long ago the first of them finished, seconds; None: there is nothing to
            copy, or another worker copies it.

        Raises:
            StoreError: the server cannot be reached.
            django.db.Error: the database cannot.
        """
        source = f"{self._model._meta.label} {self._backend.store_settings.key_prefix}{{{tag}}}"
        known, is_new = self._positions.get_or_create(source=source)
        is_active = not is_new and known.version > 0 and abs(timezone.now() - known.changed_at) < ACTIVE
        if is_active and known.worker != self._worker:
            return None
        last_look = self._looked_at.get(tag)
        everywhere = last_look is None or time.monotonic() - last_look > EVERYWHERE_S
        goes_on = tag in self._looking and known.worker == self._worker
        page = self._store.finished_since(tag, known.position, BATCH, everywhere=everywhere, goes_on=goes_on)
        self._looking.discard(tag)
        if everywhere and page.is_last:
            self._looked_at[tag] = time.monotonic()
        if not page.ids and known.position is not None and page.position["hour"] == known.position["hour"]:
            return None
        found = [snapshot for snapshot in self._store.read(page.ids) if snapshot is not None and snapshot.is_finished]
        if not self._commit(known, page.position, found):
            return None
        if everywhere and not page.is_last:
            self._looking.add(tag)
        if len(found) < len(page.ids):
            logger.warning(
                "%s: %d finished tasks of shard %s were deleted, or had expired, before they were copied to %s",
                self._backend.alias, len(page.ids) - len(found), tag, self._model._meta.label,
            )  # fmt: skip
        if not page.ids or (page.is_last and not found):
            return None
        return len(found), (page.now_ms - min(one.finished_ms for one in found)) / 1000 if found else 0.0

    def _commit(self, known: Any, position: dict[str, Any], snapshots: Sequence[Snapshot]) -> bool:
        """Write rows and the position behind them in one transaction; return False if another worker was faster."""
        # What an override of store_result() has made of the extra values stays.
        extra = not self._backend.wants_outcomes
        rows = [row_of_snapshot(self._model, one, extra=extra) for one in snapshots]
        rows = [row for row in rows if not is_engines(row)]
        try:
            with transaction.atomic(self._using):
                if not self._advance(known, position):
                    return False
                write_rows(self._model, rows, self._using)
        except REFUSED:
            with transaction.atomic(self._using):
                if not self._advance(known, position):
                    return False
                for row in rows:
                    write_alone(self._model, row, self._using)
        return True

    def _advance(self, known: Any, position: dict[str, Any]) -> bool:
        same = self._positions.filter(pk=known.pk, version=known.version)
        changed = {"position": position, "version": known.version + 1, "worker": self._worker}
        return bool(same.update(**changed, changed_at=timezone.now()))
