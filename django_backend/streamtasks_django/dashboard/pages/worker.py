"""The page of one worker: its children, what each runs, and how to drain or stop it."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse

from streamtasks.exceptions import TaskNotFound
from streamtasks.operations import audit, control, inspect
from streamtasks.stores.steering_types import AuditEntry

from ..access import ADMINISTER, VIEW, Visit, view
from ..changes import Change, back, by, change, who_text
from ..formats import moment, span

__all__ = ["drain", "serves_text", "stop", "worker"]


def serves_text(about: dict[str, Any]) -> str:
    """Return which queues a worker serves."""
    queues, mode = about.get("queues"), about.get("queue_mode", "all")
    names = ", ".join(map(str, queues)) if isinstance(queues, list | tuple) else ""
    return "all queues" if mode == "all" else names if mode == "only" else f"all but {names}"


@view(VIEW, "GET", "HEAD")
def worker(visit: Visit) -> HttpResponse:
    """Show one worker."""
    name, wire = visit.request.GET.get("name", ""), visit.backend.store_settings.wire
    found = next((one for one in inspect.workers(visit.backend.stores.plain) if one.info.name == name), None)
    if found is None:
        raise TaskNotFound(f"No worker {name} is registered: it has left, or was forgotten after it had been silent.")
    about, now_ms = found.info.about, found.info.beat_ms + found.info.silent_ms
    by_child: dict[str, list[dict[str, Any]]] = {}
    for one in found.running:
        row = {"id": one.id, "task": inspect.task_of(one, wire), "for": span(now_ms - one.started_ms)}
        by_child.setdefault(one.worker, []).append(row)
    finished, busy_ms = _number(about.get("finished")), _number(about.get("busy_ms"))
    facts = [
        ("Serves", serves_text(about)),
        ("Host and process", f"{about.get('host', '?')}, {about.get('pid', '?')}"),
        ("App", str(about.get("app", "?"))),
        ("Started", moment(_number(about.get("started")))),
        ("Last sign of life", f"{span(found.info.silent_ms)} ago"),
        ("Children", f"{about.get('children', '?')}, which run up to {about.get('slots', '?')} tasks at once"),
        ("Attempts that have ended", str(finished)),
        ("Mean time of one", span(busy_ms // finished) if finished else "-"),
    ]
    asked = _asked(visit, name)
    if asked is not None:
        facts.append((f"Asked to {asked.operation}", who_text(asked)))
    return visit.render(
        "worker",
        name=name,
        is_live=found.info.is_live,
        request_made=str(about.get("request") or ""),
        facts=facts,
        children=sorted(by_child.items()),
        idle=max(0, _number(about.get("children")) - len(by_child)),
        changes=_changes(visit, name) if found.info.is_live else [],
    )


def _changes(visit: Visit, name: str) -> list[Change]:
    if ADMINISTER not in visit.roles:
        return []
    drains = "It claims nothing more, finishes what it runs, and stays."
    stops = "It hands back what has not started, gives running tasks its grace period, and ends."
    return [
        change(visit, "drain", "Drain it", text=drains, fields={"name": name}),
        change(visit, "stop", "Stop it", text=stops, fields={"name": name}, is_dangerous=True),
    ]


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


@view(ADMINISTER, "POST")
def drain(visit: Visit) -> HttpResponse:
    """Let a worker claim nothing more; it stays."""
    return _ask(visit, "drain")


@view(ADMINISTER, "POST")
def stop(visit: Visit) -> HttpResponse:
    """Stop a worker; running tasks get its grace period."""
    return _ask(visit, "stop")


def _ask(visit: Visit, request: str) -> HttpResponse:
    name = visit.request.POST.get("name", "")
    before = _asked(visit, name)
    was_asked = before is not None and before.operation == request
    if not control.request_worker(visit.backend.owner, name, request, **by(visit)):
        raise TaskNotFound(f"No worker {name} is registered: it has left meanwhile.")
    return back(visit, "worker", note="was_asked" if was_asked else "asked", name=name)


def _asked(visit: Visit, name: str) -> AuditEntry | None:
    """Return what a worker was asked to do last, of the latest changes; a worker's name is never used again."""
    return audit.latest(visit.backend.stores.plain, ("drain", "stop"), name)
