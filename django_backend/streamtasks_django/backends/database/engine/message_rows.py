"""Unfinished messages and records of finished ones as dicts over their tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, override

from streamtasks.protocol.keys import stream_name
from streamtasks.protocol.message import split_body
from streamtasks.stores.memory.state import LiveMessage, Record
from streamtasks.stores.rules import phases
from streamtasks.stores.rules.task_names import pausable_task
from streamtasks.stores.types import Limit

from .rows import AT_ONCE, Lazy, upsert
from .tables import Tables

__all__ = ["LiveRows", "RecordRows", "body_of", "live_of"]

_SAME: Final = (
    "phase",
    "token",
    "attempts",
    "crashes",
    "lost",
    "first_ms",
    "started_ms",
    "settled",
    "suspect",
    "expires_ms",
    "skip_reason",
    "after",
    "after_due_ms",
    "after_delay_ms",
    "then",
    "hears",
)
_BYTES: Final = ("history", "progress")
_OWN: Final = ("place", "due_ms", "limit_name", "limit_us", "limit_burst", "wait_rank", "wait_number")
_MUTABLE: Final = (*_SAME, *_BYTES, *_OWN)

_RECORD: Final = ("state", "token", "finished_ms", "expires_ms", "first_ms", "started_ms", "attempts", "deleted")


def body_of(enqueued_ms: int, envelope: Any) -> bytes:
    """Return the body of a message as transitions know it."""
    return b"%d %b" % (enqueued_ms, bytes(envelope))


def live_of(row: Any) -> LiveMessage:
    """Return the message of a row."""
    return LiveMessage(
        row.id,
        body_of(row.enqueued_ms, row.envelope),
        stream_name(row.queue, row.priority),
        entry=str(row.place) if row.place else "",
        limit=Limit(row.limit_name, row.limit_us, row.limit_burst) if row.limit_name else None,
        history=bytes(row.history),
        progress=bytes(row.progress),
        **{name: getattr(row, name) for name in _SAME},
    )


class LiveRows(Lazy[str, LiveMessage]):
    """Unfinished messages by id; ``due_ms`` and ``waits`` (rank, number) of those that are delayed or limited."""

    def __init__(self, using: str, names: Tables) -> None:
        super().__init__()
        self._rows = names.message.objects.using(using)
        self._model = names.message
        self.due_ms: dict[str, int] = {}
        self.waits: dict[str, tuple[int, int]] = {}

    @override
    def find(self, keys: list[str]) -> Iterable[tuple[str, LiveMessage]]:
        return self.take(self._rows.filter(id__in=keys))

    @override
    def find_all(self) -> Iterable[tuple[str, LiveMessage]]:
        return self.take(self._rows.all())

    def select(self, rows: Any) -> list[LiveMessage]:
        """Load the messages of a query and return them in its order, each as this step has left it."""
        found = []
        for task_id, message in self.take(rows):
            if not self._knows(task_id):
                self._found(task_id, message)
            known = dict.get(self, task_id)
            if known is not None:
                found.append(known)
        return found

    @property
    def rows(self) -> Any:
        """All rows, to be filtered."""
        return self._rows

    def take(self, rows: Any) -> Iterable[tuple[str, LiveMessage]]:
        """Make messages of rows."""
        for row in rows:
            if row.due_ms:
                self.due_ms.setdefault(row.id, row.due_ms)
            if row.phase == phases.LIMITED:
                self.waits.setdefault(row.id, (row.wait_rank, row.wait_number))
            yield row.id, live_of(row)

    @override
    def mark(self, key: str, value: LiveMessage) -> Any:
        return self._values(key, value)

    def _values(self, task_id: str, message: LiveMessage) -> tuple[Any, ...]:
        limit = message.limit or Limit("", 0, 0)
        rank, number = self.waits.get(task_id, (0, 0)) if message.phase == phases.LIMITED else (0, 0)
        due_ms = self.due_ms.get(task_id, 0) if message.phase == phases.DELAYED else 0
        return (
            *(getattr(message, name) for name in _SAME),
            message.history,
            message.progress,
            int(message.entry or 0),
            due_ms,
            *limit,
            rank,
            number,
        )

    def write(self) -> None:
        """Write what has changed."""
        gone = self.gone()
        for start in range(0, len(gone), AT_ONCE):
            self._rows.filter(id__in=gone[start : start + AT_ONCE]).delete()
        known = {key for key, mark in self.before.items() if mark is not None}
        changed = self.changed()
        new = [self._row(key, value, fixed=True) for key, value in changed if key not in known]
        if new:
            self._rows.bulk_create(new, batch_size=AT_ONCE, ignore_conflicts=True)
        old = [(key, value) for key, value in changed if key in known]
        groups: dict[tuple[Any, ...], list[str]] = {}
        for key, value in old:
            groups.setdefault(self._values(key, value), []).append(key)
        if 0 < len(groups) <= 2:  # the same change of many, as a claim makes it, or of one
            for values, keys in groups.items():
                changes: dict[str, Any] = dict(zip(_MUTABLE, values, strict=True))
                self._rows.filter(id__in=keys).update(**changes)
        elif groups:
            self._rows.bulk_update([self._row(key, value) for key, value in old], _MUTABLE, batch_size=100)

    def _row(self, task_id: str, message: LiveMessage, *, fixed: bool = False) -> Any:
        values: dict[str, Any] = dict(zip(_MUTABLE, self._values(task_id, message), strict=True))
        if fixed:
            priority, _, queue = message.name.partition(":")
            enqueued_ms, envelope = split_body(message.body)
            values.update(priority=int(priority), queue=queue, task=pausable_task(envelope))
            values.update(enqueued_ms=enqueued_ms, envelope=envelope)
        return self._model(id=task_id, **values)


class RecordRows(Lazy[str, Record]):
    """Records of finished messages by id. ``written``: those that a step made."""

    def __init__(self, using: str, names: Tables) -> None:
        super().__init__()
        self._rows = names.record.objects.using(using)
        self._model = names.record

    @override
    def find(self, keys: list[str]) -> Iterable[tuple[str, Record]]:
        for row in self._rows.filter(id__in=keys):
            values = {name: getattr(row, name) for name in _RECORD}
            body = body_of(row.enqueued_ms, row.envelope) if row.enqueued_ms else b""
            yield row.id, Record(**values, body=body, result=bytes(row.result), history=bytes(row.history))

    @override
    def mark(self, key: str, value: Record) -> Any:
        return (
            *(getattr(value, name) for name in _RECORD),
            value.result,
            value.history,
            value.body,
        )

    def write(self) -> list[tuple[str, Record]]:
        """Write what has changed; return the records that are new or differ."""
        gone = self.gone()
        if gone:
            self._rows.filter(id__in=gone).delete()
        changed = self.changed()
        if changed:
            upsert(self._rows.db, self._model, [self._row(key, value) for key, value in changed])
        return changed

    def _row(self, task_id: str, record: Record) -> Any:
        enqueued_ms, envelope = split_body(record.body) if record.body else (0, b"")
        return self._model(
            id=task_id,
            **{name: getattr(record, name) for name in _RECORD},
            enqueued_ms=enqueued_ms,
            envelope=envelope,
            result=record.result,
            history=record.history,
        )
