"""The pages of bulk operations: a plan, its number and a sample, progress, abort, undo; and what is selected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.http import HttpResponse

from streamtasks.exceptions import InvalidTask, StreamTasksError, TaskNotFound
from streamtasks.operations import audit as audits
from streamtasks.operations import bulk as bulks
from streamtasks.operations import control, inspect
from streamtasks.operations.bulk import Bulk
from streamtasks.operations.filters import TaskFilter
from streamtasks.stores.bulk_types import BulkState
from streamtasks.stores.types import Revocation

from ..access import OPERATE, SEE_ARGUMENTS, VIEW, Visit, view
from ..changes import Change, address, back, by, change, who_text
from ..formats import HIDDEN, moment
from ..redaction import is_redacting
from .lists import asked_filter
from .task import has_ended

__all__ = [
    "bulk",
    "bulk_abort",
    "bulk_apply",
    "bulk_operations",
    "bulk_plan",
    "bulk_undo",
    "planned",
    "selected",
]

_MEANINGS: Final = {
    BulkState.APPLYING: "busy",
    BulkState.UNDOING: "busy",
    BulkState.FINISHED: "good",
    BulkState.ABORTED: "warn",
    BulkState.UNDONE: "warn",
}
_MOST_SELECTED: Final = 100


@view(VIEW, "GET", "HEAD")
def bulk_operations(visit: Visit) -> HttpResponse:
    """Show the latest bulk operations."""
    return visit.render("bulk_operations", operations=[_row(visit, one) for one in bulks.listed(visit.backend.owner)])


@view(VIEW, "GET", "HEAD")
def bulk(visit: Visit, bulk_id: str) -> HttpResponse:
    """Show one bulk operation: what it is about, how far it is, and what can be done with it."""
    found = bulks.find(visit.backend.owner, bulk_id)
    may_see = SEE_ARGUMENTS in visit.roles and not is_redacting()
    return visit.render(
        "bulk",
        bulk=_row(visit, found),
        counts=found.counts,
        steered=_steered(visit, found),
        sample=[(task_id, call if may_see else HIDDEN) for task_id, call in found.sample],
        problems=found.problems if may_see else [],
        changes=_changes(visit, found),
        is_open=found.state in (BulkState.REQUESTED, BulkState.PLANNING, BulkState.APPLYING, BulkState.UNDOING),
    )


def _steered(visit: Visit, one: Bulk) -> list[tuple[str, str]]:
    """Return who has applied, aborted or undone it last, of the latest changes."""
    store, target = visit.backend.stores.plain, f"bulk {one.id}"
    steps = (("Applied", one.operation), ("Aborted", "abort"), ("Undone", "undo"))
    found = [(what, audits.latest(store, (operation,), target)) for what, operation in steps]
    return [(what, who_text(entry)) for what, entry in found if entry is not None]


def _row(visit: Visit, one: Bulk) -> dict[str, Any]:
    may_see = SEE_ARGUMENTS in visit.roles and not is_redacting()
    return {
        "id": one.id,
        "address": address(visit, "bulk", one.id),
        "operation": one.operation,
        "state": one.state.value,
        "meaning": _MEANINGS.get(one.state, "quiet"),
        "filter": one.filter if may_see else HIDDEN,
        "actor": one.actor,
        "reason": one.reason,
        "created": moment(one.created_ms),
        "changed": moment(one.changed_ms),
        "total": one.counts.total,
        "done": one.counts.done,
        "rate": one.rate,
    }


def _changes(visit: Visit, one: Bulk) -> list[Change]:
    if OPERATE not in visit.roles:
        return []
    found: list[Change] = []
    if one.state in (BulkState.PLANNED, BulkState.ABORTED) and one.counts.done < one.counts.total:
        rest = one.counts.total - one.counts.done
        button = f"Apply it to {rest}" if one.state == BulkState.PLANNED else f"Go on with {rest}"
        text = f"Workers {one.operation} them; it can be aborted meanwhile."
        found.append(change(visit, "bulk_apply", button, one.id, text=text, is_dangerous=True))
    if one.state in (BulkState.REQUESTED, BulkState.PLANNING, BulkState.PLANNED, BulkState.APPLYING):
        text = "What has been done stays done."
        found.append(change(visit, "bulk_abort", "Abort it", one.id, text=text))
    if one.operation == "discard" and one.state in (BulkState.FINISHED, BulkState.ABORTED) and one.counts.applied:
        text = "Puts the dead letters back, for an hour after they were discarded."
        found.append(change(visit, "bulk_undo", "Undo it", one.id, text=text))
    return found


@view(OPERATE, "POST")
def bulk_plan(visit: Visit) -> HttpResponse:
    """Plan an operation on everything that a filter means; go to the plan, which says how many that are."""
    given = visit.request.POST
    where = asked_filter(visit, given.get("filter", ""), given.get("state", ""))
    operation, target = given.get("operation", ""), given.get("to_queue", "").strip()
    changes = {"queue": target} if operation == "move" and target else {}
    return planned(visit, operation, where, changes)


@view(OPERATE, "POST")
def bulk_apply(visit: Visit, bulk_id: str) -> HttpResponse:
    """Let workers apply a plan, or go on with what was aborted."""
    return _moved(visit, bulks.apply, bulk_id, BulkState.APPLYING)


@view(OPERATE, "POST")
def bulk_abort(visit: Visit, bulk_id: str) -> HttpResponse:
    """Stop a bulk operation; what has been done stays."""
    return _moved(visit, bulks.abort, bulk_id, BulkState.ABORTED)


@view(OPERATE, "POST")
def bulk_undo(visit: Visit, bulk_id: str) -> HttpResponse:
    """Let workers put dead letters back that were discarded less than an hour ago."""
    return _moved(visit, bulks.undo, bulk_id, BulkState.UNDOING)


def _moved(visit: Visit, move: Callable[..., Bulk], bulk_id: str, state: BulkState) -> HttpResponse:
    who = by(visit)
    if bulks.find(visit.backend.owner, bulk_id).state == state:
        return back(visit, "bulk", bulk_id, note="was_asked")
    move(visit.backend.owner, bulk_id, **who)
    return back(visit, "bulk", bulk_id, note="done")


def planned(visit: Visit, operation: str, where: TaskFilter, changes: Mapping[str, Any] | None = None) -> HttpResponse:
    """Plan an operation and go to its page. A worker plans it; where none lives, it is planned here."""
    owner, who = visit.backend.owner, by(visit)
    lives = any(one.info.is_live for one in inspect.workers(visit.backend.stores.plain))
    made = (bulks.request if lives else bulks.plan)(owner, operation, where, changes=changes, **who)
    return back(visit, "bulk", made.id, note="planned")


@view(OPERATE, "POST")
def selected(visit: Visit) -> HttpResponse:
    """Do something with the tasks or dead letters that are selected in a list; show what became of each."""
    given, who = visit.request.POST, by(visit)
    operation, keys = given.get("operation", ""), given.getlist("key")
    step = _STEPS.get(operation)
    if step is None:
        raise InvalidTask(f"operation is {operation!r}; it must be one of {', '.join(_STEPS)}.")
    if not 1 <= len(keys) <= _MOST_SELECTED:
        raise InvalidTask(f"{len(keys)} are selected; select 1 to {_MOST_SELECTED}, or plan it for all that match.")
    rows = []
    for key in keys:
        try:
            rows.append({"key": key, **step(visit, key, who)})
        except StreamTasksError as error:
            rows.append({"key": key, "is_done": False, "text": str(error)})
    return visit.render("selected", operation=operation, rows=rows, done=sum(one["is_done"] for one in rows))


def _retry(visit: Visit, key: str, who: dict[str, Any]) -> dict[str, Any]:
    again = control.retry(visit.backend.owner, key, **who)
    return {"is_done": True, "text": "enqueued again", "address": address(visit, "task", again)}


def _revoke(visit: Visit, key: str, who: dict[str, Any]) -> dict[str, Any]:
    if has_ended(visit, key):
        return {"is_done": False, "text": "it had ended before", "address": address(visit, "task", key)}
    [answer] = control.revoke(visit.backend.owner, [key], **who)
    is_done = answer in (Revocation.GONE, Revocation.MARKED)
    text = "revoked" if is_done else "it had ended before" if answer is Revocation.FINISHED else "it is not known"
    return {"is_done": is_done, "text": text, "address": address(visit, "task", key)}


def _letter(visit: Visit, key: str) -> Any:
    letter = inspect.dead_letter_at(visit.backend.stores.plain, key)
    if letter is None:
        raise TaskNotFound("This dead letter is gone: somebody has replayed or discarded it. The audit says who.")
    return letter


def _replay(visit: Visit, key: str, who: dict[str, Any]) -> dict[str, Any]:
    again = control.replay(visit.backend.owner, _letter(visit, key), **who)
    return {"is_done": True, "text": "enqueued again", "address": address(visit, "task", again)}


def _discard(visit: Visit, key: str, who: dict[str, Any]) -> dict[str, Any]:
    number = control.discard(visit.backend.owner, [_letter(visit, key)], **who)
    return {"is_done": bool(number), "text": "discarded" if number else "it was gone"}


_STEPS: Final = {"retry": _retry, "revoke": _revoke, "replay": _replay, "discard": _discard}
