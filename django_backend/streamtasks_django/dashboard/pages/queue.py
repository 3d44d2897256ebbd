"""The page of one queue, the pauses, and what can be done with queues."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse

from streamtasks.exceptions import InvalidTask, ServerNotSupported
from streamtasks.operations import control, inspect
from streamtasks.operations.filters import TaskFilter
from streamtasks.operations.scale import scale
from streamtasks.protocol.keys import check_queue
from streamtasks.stores.steering_types import Pause

from ..access import ADMINISTER, OPERATE, VIEW, Visit, view
from ..changes import Change, back, by, change
from ..formats import moment, span
from ..rows import task_row
from .bulk import planned

__all__ = ["forget", "pause", "pause_rows", "purge", "queue", "resume"]

_SHOWN = 10


@view(VIEW, "GET", "HEAD")
def queue(visit: Visit) -> HttpResponse:
    """Show one queue: what is in it, how fast it goes, who serves it, what comes next."""
    name = check_queue(visit.request.GET.get("name", ""))
    store, wire = visit.backend.stores.plain, visit.backend.store_settings.wire
    found, pauses = scale([store], name), inspect.pauses(store)
    own = [one for one in pauses if one.queue == name] + [one for one in pauses if one.is_everything]
    held = own[0] if own else None
    workers = [one for one in inspect.workers(store) if one.info.is_live and one.info.serves(name)]
    try:
        waiting = inspect.tasks(store, wire, "queued", "", _SHOWN, name).tasks
    except ServerNotSupported:
        waiting = []
    return visit.render(
        "queue",
        queue=name,
        found=found,
        oldest=span(round(found.oldest_age_s * 1000)),
        rate=f"{found.rate:.2f}".rstrip("0").rstrip("."),
        run=span(round(found.run_s * 1000)),
        empty_in="-" if not found.backlog_s else span(round(found.backlog_s * 1000)),
        held=None if held is None else pause_row(visit, held),
        workers=[one.info.name for one in workers],
        waiting=[task_row(one, visit.roles) for one in waiting],
        changes=_changes(visit, name, held, found.ready, found.claimed),
    )


def _changes(visit: Visit, name: str, held: Pause | None, ready: int, claimed: int) -> list[Change]:
    found: list[Change] = []
    fields = {"queue": name}
    if ADMINISTER in visit.roles and (held is None or held.is_everything):
        text = "It keeps everything and gives out nothing; what workers hold runs to its end."
        found.append(change(visit, "pause", "Pause this queue", text=text, fields=fields))
    elif ADMINISTER in visit.roles:
        found.append(change(visit, "resume", "Resume this queue", fields=fields))
    if {ADMINISTER, OPERATE} <= visit.roles and ready:
        text = "Counts what waits here and shows some of it; nothing is revoked before you apply that."
        found.append(change(visit, "purge", "Plan a purge", text=text, fields=fields, is_dangerous=True))
    if ADMINISTER in visit.roles and not ready and not claimed:
        text = "It leaves the lists; the next task that comes makes it again."
        found.append(change(visit, "forget", "Forget this queue", text=text, fields=fields))
    return found


def pause_row(visit: Visit, one: Pause) -> dict[str, Any]:
    """Return a pause as the pages show it, with the form that ends it."""
    fields = {"task": one.task} if one.task else {"queue": one.queue} if one.queue else {"everything": "1"}
    return {
        "what": "Everything" if one.is_everything else f"Task {one.task}" if one.task else f"Queue {one.queue}",
        "queue": one.queue,
        "since": moment(one.since_ms),
        "actor": one.actor,
        "reason": one.reason,
        "is_whole": one.is_whole,
        "resume": change(visit, "resume", "Resume", fields=fields) if ADMINISTER in visit.roles else None,
    }


def pause_rows(visit: Visit) -> list[dict[str, Any]]:
    """Return what is paused."""
    return [pause_row(visit, one) for one in inspect.pauses(visit.backend.stores.plain)]


@view(ADMINISTER, "POST")
def pause(visit: Visit) -> HttpResponse:
    """Let nothing more be claimed of a queue, of a task, or at all."""
    queue, task = _named(visit)
    is_new = control.pause(visit.backend.owner, queue, task=task, **by(visit))
    return _back(visit, queue, "paused" if is_new else "was_paused")


@view(ADMINISTER, "POST")
def resume(visit: Visit) -> HttpResponse:
    """End a pause of a queue, of a task, or of everything."""
    queue, task = _named(visit)
    was_paused = control.resume(visit.backend.owner, queue, task=task, **by(visit))
    return _back(visit, queue, "resumed" if was_paused else "was_not_paused")


@view(ADMINISTER, "POST")
def forget(visit: Visit) -> HttpResponse:
    """Let an empty queue leave the lists."""
    control.forget(visit.backend.owner, check_queue(visit.request.POST.get("queue", "")), **by(visit))
    return back(visit, "queues", note="forgotten")


@view(ADMINISTER, "POST")
def purge(visit: Visit) -> HttpResponse:
    """Plan to revoke what waits in a queue; go to the plan, which says how many that are."""
    where = TaskFilter(state="queued", queue=check_queue(visit.request.POST.get("queue", "")))
    return planned(visit, "revoke", where)


def _back(visit: Visit, queue: str, note: str) -> HttpResponse:
    return back(visit, "queue", note=note, name=queue) if queue else back(visit, "queues", note=note)


def _named(visit: Visit) -> tuple[str, str]:
    """Return the queue and the task that are named; both empty if everything is asked for."""
    given = visit.request.POST
    queue, task = given.get("queue", "").strip(), given.get("task", "").strip()
    if [bool(queue), bool(task), given.get("everything") == "1"].count(True) != 1:
        raise InvalidTask("Name a queue, or a task, or choose everything; one of them.")
    return queue, task
