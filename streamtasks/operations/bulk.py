"""Bulk operations: planned (a filter becomes fixed members, counted exactly), applied by workers, aborted, undone.

A plan changes nothing. `apply` lets a worker do it (`bulk_steps`), so that a request can return at once.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from ..exceptions import InvalidTask, TaskNotFound
from ..protocol.keys import check_queue
from ..stores.bulk_types import BulkCounts, BulkState, StoredBulk
from ..stores.owner import Owner
from ..stores.steering import SteeringStore
from .audit import check, recorded
from .bulk_members import collect
from .filters import DEAD, TaskFilter

__all__ = ["OPERATIONS", "Bulk", "abort", "apply", "find", "listed", "plan", "request", "undo"]

OPERATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "replay": (DEAD,),
    "discard": (DEAD,),
    "revoke": ("queued", "delayed", "limited", "running"),
    "retry": ("finished", "failed", "revoked"),
    "move": ("queued", "delayed", "limited"),
}
"""What can be done in bulk, and with tasks of which states."""

_STOPPABLE: Final = (BulkState.REQUESTED, BulkState.PLANNING, BulkState.PLANNED, BulkState.APPLYING)
_CHANGES: Final[Mapping[str, tuple[str, ...]]] = {
    "replay": ("args", "kwargs", "queue", "priority"),
    "move": ("queue",),
}


@dataclass(frozen=True, slots=True)
class Bulk:
    """A bulk operation at one moment. Times are ms since the epoch.

    Attributes:
        id: of it.
        operation: one of `OPERATIONS`.
        filter: which tasks it was planned for, as text.
        actor: who asked for it.
        reason: why.
        state: where it is.
        created_ms: when it was planned.
        changed_ms: since when it is in its state.
        rate: how many a second at most; 0: as many as there may be.
        sample: some of its members: of each its id and its call.
        changes: what the new tasks have in place of their own.
        problems: why some could not be done.
        counts: how far it is.
    """

    id: str
    operation: str
    filter: str
    actor: str
    reason: str
    state: BulkState
    created_ms: int
    changed_ms: int
    rate: float = 0.0
    sample: tuple[tuple[str, str], ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    counts: BulkCounts = BulkCounts()  # noqa: RUF009 - a tuple

    @classmethod
    def of(cls, stored: StoredBulk, counts: BulkCounts = BulkCounts()) -> Bulk:  # noqa: B008 - a tuple
        """Return it as it is noted, with its counts."""
        note = json.loads(stored.note)
        return cls(
            stored.id,
            note["operation"],
            note["filter"],
            note["actor"],
            note["reason"],
            stored.state,
            stored.created_ms,
            stored.changed_ms,
            note.get("rate", 0.0),
            tuple((one, call) for one, call in note.get("sample", ())),
            note.get("changes", {}),
            tuple(note.get("problems", ())),
            counts,
        )

    def note(self, **others: Any) -> str:
        """Return what is noted of it, with other values."""
        values = {
            name: getattr(self, name)
            for name in ("operation", "filter", "actor", "reason", "rate", "sample", "changes", "problems")
        }
        return json.dumps({**values, **others})


def plan(
    owner: Owner,
    operation: str,
    where: TaskFilter,
    *,
    actor: str,
    reason: str,
    changes: Mapping[str, Any] | None = None,
) -> Bulk:
    """Collect what an operation is about, and count it; nothing is changed, and members do not change any more.

    It reads all tasks of the filter's state, page by page, and keeps their ids in the store for a week.

    Args:
        owner: of the tasks.
        operation: one of `OPERATIONS`.
        where: which tasks.
        actor: who asks for it.
        reason: why.
        changes: ``args``, ``kwargs``, ``queue`` or ``priority`` of the new tasks, for ``"replay"``; the ``queue`` to
            which tasks go, for ``"move"``.

    Raises:
        InvalidTask: there is no such operation, it is not for tasks of that state, or a change is wrong.
        UnknownQueue: a queue cannot be one.
    """
    bulk_id, note = _begun(owner, BulkState.PLANNING, operation, where, actor, reason, changes or {})
    steps = collect(owner, bulk_id, operation, where, changes or {})
    while True:
        try:
            next(steps)
        except StopIteration as end:
            note["sample"] = end.value
            break
    owner.store.put_bulk(bulk_id, BulkState.PLANNED, (BulkState.PLANNING,), json.dumps(note))
    return find(owner, bulk_id)


def request(
    owner: Owner,
    operation: str,
    where: TaskFilter,
    *,
    actor: str,
    reason: str,
    changes: Mapping[str, Any] | None = None,
) -> Bulk:
    """Let a worker plan an operation, and return it at once, in the state REQUESTED; see `plan`.

    For a request that cannot wait for 100,000 dead letters to be read. It becomes PLANNED when its members are fixed.
    """
    bulk_id, _ = _begun(owner, BulkState.REQUESTED, operation, where, actor, reason, changes or {})
    return find(owner, bulk_id)


def _begun(
    owner: Owner,
    state: BulkState,
    operation: str,
    where: TaskFilter,
    actor: str,
    reason: str,
    changes: Mapping[str, Any],
) -> tuple[str, dict[str, Any]]:
    """Note an operation without members; return its id and what is noted of it."""
    _check(operation, where, changes)
    check(actor, reason)
    bulk_id = uuid.uuid4().hex
    note = {"operation": operation, "filter": where.text(), "actor": actor, "reason": reason, "changes": changes}
    owner.store.put_bulk(bulk_id, state, note=json.dumps(note))
    return bulk_id, note


def _check(operation: str, where: TaskFilter, changes: Mapping[str, Any]) -> None:
    states = OPERATIONS.get(operation)
    if states is None:
        raise InvalidTask(f"operation is {operation!r}; it must be one of {', '.join(OPERATIONS)}.")
    if where.check().state not in states:
        raise InvalidTask(f"{operation} is for tasks of state {' or '.join(states)}, not {where.state!r}.")
    known = _CHANGES.get(operation, ())
    unknown = changes.keys() - set(known)
    if unknown:
        raise InvalidTask(
            f"changes of {operation} name {', '.join(sorted(unknown))}; it takes {', '.join(known) or 'none'}."
        )
    if operation == "move" and not changes:
        raise InvalidTask("changes of move must name the queue to which the tasks go.")
    if "queue" in changes:
        check_queue(changes["queue"])


def find(owner: Owner, bulk_id: str) -> Bulk:
    """Return a bulk operation.

    Raises:
        TaskNotFound: it is not known.
    """
    stored = owner.store.bulk(bulk_id)
    if stored is None:
        raise TaskNotFound(f"No bulk operation {bulk_id} is known; the list shows those that are.")
    return Bulk.of(stored, owner.store.bulk_counts(bulk_id))


def listed(owner: Owner, limit: int = 20) -> list[Bulk]:
    """Return the latest bulk operations with their counts, newest first, at most 100."""
    return [Bulk.of(one, owner.store.bulk_counts(one.id)) for one in owner.store.bulks(limit)]


def apply(owner: Owner, bulk_id: str, *, actor: str, reason: str, rate: float = 0.0) -> Bulk:
    """Let workers apply a plan, or go on with one that was aborted; return it at once.

    Args:
        owner: of the tasks.
        bulk_id: of the plan.
        actor: who asks for it.
        reason: why; empty: that of the plan.
        rate: how many a second at most; 0: as many as there may be.

    Raises:
        TaskNotFound: it is not known.
        InvalidTask: it is not planned or aborted, or the rate is negative.
    """
    if not rate >= 0:
        raise InvalidTask(f"rate is {rate}; give tasks a second, or 0 for as many as there may be.")
    known = find(owner, bulk_id)
    with _recorded(owner.store, known, known.operation, actor, reason or known.reason):
        return _move(owner, known, BulkState.APPLYING, (BulkState.PLANNED, BulkState.ABORTED), known.note(rate=rate))


def abort(owner: Owner, bulk_id: str, *, actor: str, reason: str) -> Bulk:
    """Stop a bulk operation; what has been done stays, and `apply` goes on with the rest.

    Raises:
        TaskNotFound: it is not known.
        InvalidTask: it is not planned or being applied.
    """
    known = find(owner, bulk_id)
    with _recorded(owner.store, known, "abort", actor, reason):
        return _move(owner, known, BulkState.ABORTED, _STOPPABLE)


def undo(owner: Owner, bulk_id: str, *, actor: str, reason: str) -> Bulk:
    """Let workers put dead letters back that a bulk operation has discarded less than an hour ago.

    Raises:
        TaskNotFound: it is not known.
        InvalidTask: it has not discarded dead letters, or is being applied.
    """
    known = find(owner, bulk_id)
    if known.operation != "discard":
        raise InvalidTask(f"Bulk operation {bulk_id} is a {known.operation}; only a discard can be undone.")
    with _recorded(owner.store, known, "undo", actor, reason):
        return _move(owner, known, BulkState.UNDOING, (BulkState.FINISHED, BulkState.ABORTED, BulkState.UNDONE))


def _recorded(
    store: SteeringStore, known: Bulk, operation: str, actor: str, reason: str
) -> AbstractContextManager[None]:
    return recorded(store, operation, f"bulk {known.id}: {known.counts.total} with {known.filter}", actor, reason)


def _move(owner: Owner, known: Bulk, state: BulkState, was: tuple[BulkState, ...], note: str = "") -> Bulk:
    before = owner.store.put_bulk(known.id, state, (*was, state), note)
    if before not in (*was, state):
        raise InvalidTask(
            f"Bulk operation {known.id} is {before or 'not known'}; it can become {state} from {', '.join(was)}."
        )
    return find(owner, known.id)
