"""The page of one task: its call, states, attempts, progress, logs, where it is in its code, and its workflow."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpResponse
from django.template.defaultfilters import filesizeformat

from streamtasks.exceptions import ServerNotSupported, TaskNotFound
from streamtasks.operations import control, inspect
from streamtasks.operations.stacks import StackAnswer, stacks
from streamtasks.operations.workflow_view import workflow_id_of
from streamtasks.protocol.log_lines import NO_LOGS, LogLine
from streamtasks.results.snapshot_view import info_of
from streamtasks.stores.types import Revocation

from ..access import OPERATE, SEE_ARGUMENTS, VIEW, Visit, view
from ..changes import Change, address, back, by, change
from ..formats import HIDDEN, moment, value_text
from ..reasons import reasons_of
from ..redaction import redacted
from ..rows import error_row, task_row
from .edited import editable, edited
from .timeline import timeline

__all__ = ["has_ended", "retry", "revoke", "stack", "task"]

_CUT: Final = 10_000
"""So many characters of arguments and results are shown, if not all are asked for."""

_ALL: Final = 1_000_000
"""So many if they are; a file has the rest."""
_STACK_S: Final = 3.0


@view(VIEW, "GET", "HEAD")
def task(visit: Visit, task_id: str) -> HttpResponse:
    """Show all that is known of one task."""
    return _page(visit, task_id)


@view(OPERATE, "POST")
def stack(visit: Visit, task_id: str) -> HttpResponse:
    """Show a running task with where it is in its code now, asked of its worker. Nothing is changed."""
    try:
        answer = stacks(visit.backend.stores.plain, task_id, _STACK_S)
    except ServerNotSupported as error:
        answer = StackAnswer([], str(error))
    return _page(visit, task_id, stack=_stack(answer))


@view(OPERATE, "POST")
def retry(visit: Visit, task_id: str) -> HttpResponse:
    """Enqueue a task that has ended without success once more, perhaps with other arguments; go to the new one."""
    changes, who = edited(visit), by(visit)
    return back(visit, "task", control.retry(visit.backend.owner, task_id, **changes, **who), note="done")


@view(OPERATE, "POST")
def revoke(visit: Visit, task_id: str) -> HttpResponse:
    """End a task before it finishes."""
    terminate, who = visit.request.POST.get("terminate") == "1", by(visit)
    if has_ended(visit, task_id):
        return back(visit, "task", task_id, note="had_ended")
    [answer] = control.revoke(visit.backend.owner, [task_id], terminate=terminate, **who)
    was_open = answer in (Revocation.GONE, Revocation.MARKED)
    return back(visit, "task", task_id, note="revoked" if was_open else "had_ended")


def has_ended(visit: Visit, task_id: str) -> bool:
    """Return whether a task has ended: revoking it again looks to a store like a repeated call, which is no error."""
    found = inspect.task(visit.backend.stores.plain, visit.backend.store_settings.wire, task_id)
    return found is not None and found.snapshot.is_finished


def _page(visit: Visit, task_id: str, **others: Any) -> HttpResponse:
    store, roles = visit.backend.stores.plain, visit.roles
    found = inspect.task(store, visit.backend.store_settings.wire, task_id)
    if found is None:
        raise TaskNotFound(f"No task {task_id} is known; if it ever was, its record has expired.")
    message, snapshot = found.message, found.snapshot
    name, may_see = "" if message is None else message.task, SEE_ARGUMENTS in roles
    shows_all = may_see and visit.request.GET.get("all") == "1"
    most = _ALL if shows_all else _CUT
    row = task_row(found, roles, most)
    result = ""
    if snapshot.is_finished and found.error is None:
        result = value_text(redacted("result", name, found.result), most) if may_see else HIDDEN
    progress, steps, following = info_of(snapshot), *timeline(found, roles)
    headers = {} if message is None else dict(message.headers)
    repeated, workflow = str(headers.get("replay_of", "")), workflow_id_of(task_id)
    size = len(snapshot.envelope) + len(snapshot.result)
    is_cut = not shows_all and may_see and (len(row["call"]) > most or len(result) > most)
    return visit.render(
        "task",
        task=row,
        priority="" if message is None else message.priority,
        worker=snapshot.worker,
        worker_name=snapshot.worker.rpartition("-")[0],
        result=result,
        error=error_row(found.error, name, roles) if found.error else None,
        headers=_headers(headers, name, may_see=may_see),
        progress="" if progress is None else _progress(progress, name, may_see=may_see),
        steps=steps,
        may_follow=following,
        reasons=reasons_of(store, task_id, roles),
        repeated=repeated,
        workflow=workflow,
        logs=_logs(visit, task_id, name),
        is_finished=snapshot.is_finished,
        shows_all=shows_all,
        all_address=address(visit, "task", task_id, all="1") if is_cut else "",
        raw_address=address(visit, "raw", task_id) if may_see else "",
        size=filesizeformat(size),
        shows_more=size > _ALL,
        **_changes(visit, found),
        **others,
    )


def _changes(visit: Visit, found: inspect.TaskView) -> dict[str, Any]:
    """Return the forms of the page."""
    snapshot, message, changes = found.snapshot, found.message, list[Change]()
    edit = None
    if OPERATE not in visit.roles:
        return {"changes": changes, "edit": edit, "stack_address": ""}
    can_retry = snapshot.is_finished and snapshot.state.value != "SUCCESS" and not workflow_id_of(found.id)
    if can_retry:
        changes.append(change(visit, "retry", "Enqueue it again", found.id, text="A new task with the same call."))
        if message is not None:
            edit = editable(visit, message, address(visit, "retry", found.id), {})
    elif not snapshot.is_finished:
        box = ("terminate", "Also interrupt it if it runs")
        changes.append(change(visit, "revoke", "Revoke it", found.id, is_dangerous=True, box=box))
    is_running = snapshot.state.value in ("STARTED", "PROGRESS")
    return {
        "changes": changes,
        "edit": edit,
        "stack_address": address(visit, "stack", found.id) if is_running else "",
    }


def _headers(headers: dict[str, Any], name: str, *, may_see: bool) -> list[tuple[str, str]]:
    if not may_see or not headers:
        return [(one, HIDDEN) for one in headers]
    shown = redacted("headers", name, headers)
    pairs = shown.items() if isinstance(shown, dict) else [("", shown)]
    return [(str(one), value_text(value, 500)) for one, value in pairs]


def _progress(progress: Any, name: str, *, may_see: bool) -> dict[str, Any]:
    """Return what a running attempt has reported, with the share of it if it says one."""
    if not may_see:
        return {"text": HIDDEN, "done": None}
    shown = redacted("progress", name, progress)
    done = None
    if isinstance(shown, dict):
        current, total = _count(shown.get("current", shown.get("done"))), _count(shown.get("total"))
        if current is not None and total:
            done = {"current": current, "total": total}
    return {"text": value_text(shown, 2_000), "done": done}


def _count(value: Any) -> float | None:
    """Return a number that is not negative; None: it is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and value >= 0 else None


def _logs(visit: Visit, task_id: str, name: str) -> dict[str, Any]:
    try:
        kept = inspect.logs(visit.backend.stores.plain, task_id) or NO_LOGS
    except ServerNotSupported:
        kept = NO_LOGS
    may_see = SEE_ARGUMENTS in visit.roles
    if not may_see:
        return {"total": kept.total, "first": [], "left_out": 0, "last": [], "is_hidden": bool(kept.total)}
    first, last = ([_line(one, name) for one in lines] for lines in (kept.first, kept.last))
    return {"total": kept.total, "first": first, "left_out": kept.left_out, "last": last, "is_hidden": False}


def _line(one: LogLine, name: str) -> dict[str, Any]:
    text = str(redacted("logs", name, one.text))
    return {"at": moment(one.at_ms), "attempt": one.attempt, "level": one.level, "source": one.source, "text": text}


def _stack(answer: StackAnswer | None) -> dict[str, Any]:
    if answer is None:
        return {"stacks": [], "problem": "No attempt of it is known to run: it has not begun, or has just ended."}
    return {"stacks": answer.stacks, "problem": answer.problem}
