"""What the pages change: by POST, with a permission and a reason, noted in the audit."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect

from streamtasks.exceptions import InvalidTask, TaskNotFound
from streamtasks.operations import control, inspect

from .access import ADMINISTER, OPERATE, Visit, view

__all__ = ["pause", "replay", "resume", "retry", "revoke"]


def _reason(visit: Visit) -> str:
    reason = visit.request.POST.get("reason", "").strip()
    if not reason:
        raise InvalidTask("The reason is missing: say why, for those who read the audit later.")
    return reason


def _to(visit: Visit, name: str, *values: str) -> HttpResponse:
    return redirect(f"streamtasks_dashboard:{name}", visit.backend.alias, *values)


@view(OPERATE, "POST")
def retry(visit: Visit, task_id: str) -> HttpResponse:
    """Enqueue a task that has ended without success once more; go to the new one."""
    again = control.retry(visit.backend.owner, task_id, actor=visit.actor, reason=_reason(visit))
    return _to(visit, "task", again)


@view(OPERATE, "POST")
def revoke(visit: Visit, task_id: str) -> HttpResponse:
    """End a task before it finishes."""
    terminate = visit.request.POST.get("terminate") == "1"
    reason = _reason(visit)
    control.revoke(visit.backend.owner, [task_id], actor=visit.actor, reason=reason, terminate=terminate)
    return _to(visit, "task", task_id)


@view(OPERATE, "POST")
def replay(visit: Visit) -> HttpResponse:
    """Enqueue the call of a dead letter again; go to the new task."""
    reason, key = _reason(visit), visit.request.POST.get("key", "")
    letter = inspect.dead_letter_at(visit.backend.stores.plain, key)
    if letter is None:
        raise TaskNotFound("This dead letter is gone: somebody has replayed or discarded it. The audit says who.")
    return _to(visit, "task", control.replay(visit.backend.owner, letter, actor=visit.actor, reason=reason))


@view(ADMINISTER, "POST")
def pause(visit: Visit) -> HttpResponse:
    """Let nothing more be claimed of a queue."""
    control.pause(visit.backend.owner, _queue(visit), actor=visit.actor, reason=_reason(visit))
    return _to(visit, "queues")


@view(ADMINISTER, "POST")
def resume(visit: Visit) -> HttpResponse:
    """End the pause of a queue."""
    control.resume(visit.backend.owner, _queue(visit), actor=visit.actor, reason=_reason(visit))
    return _to(visit, "queues")


def _queue(visit: Visit) -> str:
    """Return the queue that is named; empty, which stands for everything, only if that is asked for."""
    queue = visit.request.POST.get("queue", "")
    if queue == "" and visit.request.POST.get("everything") != "1":
        raise InvalidTask("No queue was named.")
    return queue
