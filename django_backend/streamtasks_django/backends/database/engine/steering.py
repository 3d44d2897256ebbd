"""What operators do with a SQL store: pauses, audit entries, pages of tasks, dead letters that go.

Logs kept with tasks, and stacks, are refused.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, Final, NoReturn

from django.db.models import F, Q

from streamtasks.exceptions import InvalidTask, ServerNotSupported
from streamtasks.protocol.log_lines import TaskLogs
from streamtasks.protocol.state import DeadLetter
from streamtasks.stores.inspection_types import NewLog
from streamtasks.stores.memory import steering
from streamtasks.stores.rules import phases
from streamtasks.stores.steering_types import (
    AuditEntry,
    IdPage,
    Pause,
    before_of,
    check_kind,
    check_request,
    counted_as,
)

from . import letters as dead_letters
from . import pauses
from .codec import decode, encode
from .shard import SqlShard
from .steps import Steps

__all__ = ["SteeringMethods"]

MOST: Final = 100
"""Audit entries, or waiting tasks, of one page at most."""

LOOKED_AT: Final = 1000
"""Finished tasks that one page looks at for those with the wanted outcome."""

_HELD: Final = (Q(phase__in=list(phases.HELD)) & ~Q(token=""), ("id",))
_PARTS: Final[dict[str, tuple[tuple[Q, tuple[str, ...]], ...]]] = {
    "queued": (_HELD, (Q(phase__in=[phases.QUEUED, phases.SUSPECT]), ("-priority", "place", "id"))),
    "delayed": ((Q(phase=phases.DELAYED), ("due_ms", "id")),),
    "limited": ((Q(phase=phases.LIMITED), ("limit_name", "wait_rank", "wait_number", "id")),),
}
"""Of each kind of waiting tasks, the parts of its list: which rows, and their order, for which there is an index."""


def _refuse(what: str, instead: str) -> NoReturn:
    raise ServerNotSupported(f"A DatabaseBackend cannot {what} yet: {instead}.")


def _record_audit(shard: SqlShard, entry: AuditEntry) -> None:
    model = shard.names.state
    content = (entry.operation, entry.target, entry.actor, entry.reason, shard.now_ms())
    row = model(name=f"audit:{entry.nonce}", kind="audit", number=int(shard.new_entry()), data=encode(content))
    rows = model.objects.using(shard.using)
    if rows.filter(name=row.name).exists():
        return
    rows.bulk_create([row], ignore_conflicts=True)
    operation, outcome = counted_as(entry)
    count, _ = rows.get_or_create(name=f"audited:{outcome} {operation}", defaults={"kind": "audited", "data": b""})
    rows.filter(name=count.name).update(number=F("number") + 1)


def _audit_entries(shard: SqlShard, limit: int, before: str) -> list[AuditEntry]:
    rows = shard.names.state.objects.using(shard.using).filter(kind="audit")
    if before:
        at, _, number = before.partition("-")
        if not (at.isascii() and at.isdigit() and number.isascii() and number.isdigit()):
            raise InvalidTask(f"before is {before!r}, which is no cursor of audit entries; begin without one.")
        rows = rows.filter(number__lt=int(number))
    found = []
    for name, number, data in rows.order_by("-number").values_list("name", "number", "data")[: min(limit, MOST)]:
        operation, target, actor, reason, at_ms = decode(bytes(data))
        nonce = name.removeprefix("audit:")
        found.append(AuditEntry(operation, target, actor, reason, at_ms, f"{at_ms}-{number}", nonce))
    return found


def _behind(order: Sequence[str], values: Sequence[Any]) -> Q:
    """Return the condition of rows that come behind one with these values."""
    found, same = Q(), Q()
    for field, value in zip(order, values, strict=True):
        name = field.removeprefix("-")
        found |= same & Q((f"{name}__{'lt' if field != name else 'gt'}", value))
        same &= Q((name, value))
    return found


def _waiting_ids(shard: SqlShard, kind: str, cursor: str, limit: int, queue: str, *, entries: bool) -> IdPage:
    parts = _PARTS[kind]
    number, values = _position(cursor, parts)
    ids: list[str] = []
    while number < len(parts):
        condition, order = parts[number]
        rows = shard.names.message.objects.using(shard.using).filter(condition)
        if queue:
            rows = rows.filter(queue=queue)
        if values:
            rows = rows.filter(_behind(order, values))
        names = [field.removeprefix("-") for field in order]
        left = limit - len(ids)
        found = list(rows.order_by(*order).values_list(*names, "place")[: left + 1])
        ids += [f"{row[-1]},{row[-2]}" if entries else row[-2] for row in found[:left]]
        if len(found) > left:
            return IdPage(ids, json.dumps([number, *(found[left - 1][:-1] if left else values)]))
        number, values = number + 1, ()
    return IdPage(ids, "")


def _position(cursor: str, parts: Sequence[tuple[Q, tuple[str, ...]]]) -> tuple[int, Sequence[Any]]:
    """Return which part of the list a cursor is in, and the values of the row that it is behind."""
    try:
        number, *values = json.loads(cursor or "[0]")
        if not values or len(values) == len(parts[number][1]):
            return number, values
    except (ValueError, TypeError, IndexError):
        pass
    raise InvalidTask(f"cursor is {cursor!r}, which is none of these tasks; begin without one.")


def _finished_ids(shard: SqlShard, outcomes: Collection[str], before_ms: int, limit: int, since_ms: int) -> IdPage:
    """Return a page; what was recorded in one ms is never divided."""
    rows = shard.names.record.objects.using(shard.using).filter(deleted=False)
    if since_ms:
        rows = rows.filter(finished_ms__gte=since_ms)
    some = rows.filter(finished_ms__lt=before_ms) if before_ms else rows
    columns = ("finished_ms", "id", "state")
    found = list(some.order_by("-finished_ms", "-id").values_list(*columns)[: LOOKED_AT + 1])
    is_cut = len(found) > LOOKED_AT
    if is_cut:
        last_ms = found[-1][0]
        found = [row for row in found if row[0] > last_ms]
        if not found:  # more than that in one ms
            found = list(rows.filter(finished_ms=last_ms).values_list(*columns))
    ids: list[str] = []
    for at_ms, task_id, state in found:
        if len(ids) >= limit and at_ms < before_ms:
            return IdPage(ids, str(before_ms))
        before_ms = at_ms
        if state in outcomes:
            ids.append(task_id)
    return IdPage(ids, str(before_ms) if is_cut else "")


class SteeringMethods(Steps):
    """The methods of `SteeringStore`. Changes do not wait for the caller's transaction; see `Steps.outside`."""

    def record_audit(self, entry: AuditEntry) -> None:
        """See `SteeringStore.record_audit`."""
        self.change(lambda shard: _record_audit(shard, entry))

    def audit_entries(self, limit: int = 100, before: str = "") -> list[AuditEntry]:
        """See `SteeringStore.audit_entries`."""
        return self.look(lambda shard: _audit_entries(shard, limit, before))

    def discard_dead_letters(self, letters: Sequence[DeadLetter]) -> int:
        """See `SteeringStore.discard_dead_letters`."""
        return self.change(lambda shard: dead_letters.discard(shard, letters))

    def waiting_ids(
        self, kind: str, cursor: str = "", limit: int = 100, queue: str = "", *, entries: bool = False
    ) -> IdPage:
        """See `SteeringStore.waiting_ids`. A cursor is JSON: the part of the list, and the last row's values.

        What stands for an entry is the place in the order of claims.
        """
        check_kind(kind)
        return self.look(lambda shard: _waiting_ids(shard, kind, cursor, min(limit, MOST), queue, entries=entries))

    def finished_ids(self, outcomes: Collection[str], cursor: str = "", limit: int = 100, since_ms: int = 0) -> IdPage:
        """See `SteeringStore.finished_ids`."""
        before_ms = before_of(cursor)
        return self.look(lambda shard: _finished_ids(shard, outcomes, before_ms, limit, since_ms))

    def pause(self, queue: str, actor: str, reason: str, task: str = "") -> bool:
        """See `SteeringStore.pause`."""
        return self.change(lambda shard: pauses.pause(shard, queue, actor, reason, task))

    def resume(self, queue: str, task: str = "") -> bool:
        """See `SteeringStore.resume`."""
        return self.change(lambda shard: pauses.resume(shard, queue, task))

    def pauses(self) -> list[Pause]:
        """See `SteeringStore.pauses`."""
        return self.look(pauses.listed)

    def request_worker(self, worker: str, request: str) -> bool:
        """See `SteeringStore.request_worker`. On databases that cannot notify, its next beat brings it."""
        check_request(request)
        return self.change(lambda shard: steering.request_worker(shard, worker, request))

    def logs(self, task_id: str, known: int = 0) -> TaskLogs | None:  # noqa: ARG002
        """Refuse to return logs.

        Raises:
            ServerNotSupported: always.
        """
        _refuse(f"show what {task_id} has logged", "look into the logs of its worker")

    def append_logs(self, some: Sequence[NewLog], nonce: str) -> list[int]:  # noqa: ARG002
        """Refuse to keep logs; see `StoreSettings.keeps_logs`.

        Raises:
            ServerNotSupported: always.
        """
        _refuse(f"keep what {len(some)} tasks have logged", "set log_bytes to 0")

    def stack(self, task_id: str, nonce: str, *, ask: bool) -> bytes | None:  # noqa: ARG002
        """Refuse to ask for stacks.

        Raises:
            ServerNotSupported: always.
        """
        _refuse(f"show the stack of {task_id}", "use py-spy on the machine of its worker")

    def answer_stack(self, task_id: str, nonce: str, answer: bytes) -> None:
        """Do nothing: nobody can ask."""

    def watch_events(self) -> None:
        """Do nothing: events are written if the settings say so."""

    def queue_counts(self, queue: str, minutes: int) -> tuple[int, int]:  # noqa: ARG002
        """See `Store.queue_counts`: nothing is counted by queues."""
        return 0, 0
