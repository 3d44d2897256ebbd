"""The pages that show something."""

from __future__ import annotations

import time
from urllib.parse import urlencode

from django.http import HttpResponse

from streamtasks.exceptions import ServerNotSupported, TaskNotFound
from streamtasks.operations import inspect
from streamtasks.operations.explain import explain_task
from streamtasks.protocol.keys import check_queue

from .access import VIEW, Visit, view
from .attention import concerns
from .formats import moment, span
from .rows import letter_row, task_row, task_values

__all__ = ["audit", "dead_letters", "overview", "queues", "task", "tasks", "workers"]

_PAGE = 50
_RECENT = 100


@view(VIEW, "GET", "HEAD")
def overview(visit: Visit) -> HttpResponse:
    """Show what needs attention now, and how much there is."""
    store, wire = visit.backend.stores.plain, visit.backend.store_settings.wire
    found, workers = inspect.status(store), inspect.workers(store)
    try:
        failed: list[inspect.TaskView] | None = inspect.tasks(store, wire, "failed", limit=_RECENT).tasks
    except ServerNotSupported:  # it lists no tasks
        failed = None
    now_ms = time.time_ns() // 1_000_000
    return visit.render(
        "overview",
        concerns=concerns(found, failed, workers, now_ms, visit.roles),
        status=found,
        waiting=sum(one.ready for one in found.queues),
        queues=_queue_rows(found.queues),
        outcomes=sorted(found.outcomes.items()),
        now=moment(now_ms),
    )


@view(VIEW, "GET", "HEAD")
def queues(visit: Visit) -> HttpResponse:
    """Show the queues."""
    store = visit.backend.stores.plain
    return visit.render("queues", queues=_queue_rows(inspect.queues(store)), pauses=inspect.pauses(store))


def _queue_rows(found: list[inspect.QueueView]) -> list[dict[str, object]]:
    return [{**one._asdict(), "oldest": span(one.oldest_ms)} for one in found]


@view(VIEW, "GET", "HEAD")
def tasks(visit: Visit) -> HttpResponse:
    """Show a page of tasks in one state, of one queue or all."""
    given = visit.request.GET
    state, queue, cursor = given.get("state") or "failed", given.get("queue", "").strip(), given.get("cursor", "")
    name = given.get("name", "").strip()
    if queue:
        check_queue(queue)
    store, wire = visit.backend.stores.plain, visit.backend.store_settings.wire
    page = inspect.tasks(store, wire, state, cursor, _PAGE, queue)
    shown = [one for one in page.tasks if not name or (one.message is not None and name in one.message.task)]
    following = {"state": state, "queue": queue, "name": name, "cursor": page.cursor}
    return visit.render(
        "tasks",
        tasks=[task_row(one, visit.roles) for one in shown],
        states=inspect.STATES,
        state=state,
        queue=queue,
        name=name,
        following=urlencode({key: value for key, value in following.items() if value}) if page.cursor else "",
    )


@view(VIEW, "GET", "HEAD")
def task(visit: Visit, task_id: str) -> HttpResponse:
    """Show all that is known of one task."""
    store = visit.backend.stores.plain
    found = inspect.task(store, visit.backend.store_settings.wire, task_id)
    if found is None:
        raise TaskNotFound(f"No task {task_id} is known; if it ever was, its record has expired.")
    try:
        reasons = explain_task(store, task_id)
    except ServerNotSupported:
        reasons = []
    repeated = "" if found.message is None else str(found.message.headers.get("replay_of", ""))
    values = task_values(found, visit.roles)
    return visit.render("task", reasons=reasons, repeated=repeated, can_retry=_can_retry(found), **values)


def _can_retry(found: inspect.TaskView) -> bool:
    return found.snapshot.is_finished and found.snapshot.state.value != "SUCCESS"


@view(VIEW, "GET", "HEAD")
def workers(visit: Visit) -> HttpResponse:
    """Show the workers, and what each runs."""
    store, wire = visit.backend.stores.plain, visit.backend.store_settings.wire
    now_ms = time.time_ns() // 1_000_000
    rows = [
        {
            "name": one.info.name,
            "is_live": one.info.is_live,
            "silent": span(one.info.silent_ms),
            "serves": _serves(one.info.about),
            "running": [
                {"id": each.id, "task": inspect.task_of(each, wire), "for": span(now_ms - each.started_ms)}
                for each in one.running
            ],
        }
        for one in inspect.workers(store)
    ]
    return visit.render("workers", workers=rows)


def _serves(about: dict[str, object]) -> str:
    queues, mode = about.get("queues"), about.get("queue_mode", "all")
    names = ", ".join(map(str, queues)) if isinstance(queues, list | tuple) else ""
    return "all queues" if mode == "all" else names if mode == "only" else f"all but {names}"


@view(VIEW, "GET", "HEAD")
def dead_letters(visit: Visit) -> HttpResponse:
    """Show a page of dead letters."""
    page = visit.backend.stores.plain.dead_letters(_PAGE, visit.request.GET.get("cursor", ""))
    following = urlencode({"cursor": page[-1].cursor}) if len(page) == _PAGE else ""
    return visit.render("dead_letters", letters=[letter_row(one, visit.roles) for one in page], following=following)


@view(VIEW, "GET", "HEAD")
def audit(visit: Visit) -> HttpResponse:
    """Show who changed what, and why."""
    page = visit.backend.stores.plain.audit_entries(_PAGE, visit.request.GET.get("cursor", ""))
    following = urlencode({"cursor": page[-1].cursor}) if len(page) == _PAGE else ""
    entries = [{**one._asdict(), "at": moment(one.at_ms)} for one in page]
    return visit.render("audit", entries=entries, following=following)
