"""The pages that show something."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpResponse

from streamtasks.exceptions import ServerNotSupported, TaskNotFound
from streamtasks.operations import audit as audits
from streamtasks.operations import inspect
from streamtasks.operations.failures import Failures, recent_failures
from streamtasks.protocol.keys import check_queue

from .access import VIEW, Visit, view
from .attention import RECENT_MS, concerns
from .formats import moment, span
from .reasons import reasons_of
from .rows import letter_row, task_row, task_values

__all__ = ["audit", "dead_letters", "overview", "queues", "task", "tasks", "workers"]

_PAGE = 50


@view(VIEW, "GET", "HEAD")
def overview(visit: Visit) -> HttpResponse:
    """Show what needs attention now, and how much there is."""
    store, wire = visit.backend.stores.plain, visit.backend.store_settings.wire
    found, workers = inspect.status(store), inspect.workers(store)
    try:
        failed: Failures | None = recent_failures(store, wire, found.now_ms - RECENT_MS)
    except ServerNotSupported:  # it lists no tasks
        failed = None
    return visit.render(
        "overview",
        concerns=concerns(found, failed, workers, visit.roles),
        status=found,
        waiting=sum(one.ready for one in found.queues),
        queues=_queue_rows(found.queues),
        outcomes=sorted(found.outcomes.items()),
        failures_since="" if failed is None or failed.is_complete else moment(failed.since_ms),
        now=moment(found.now_ms),
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
    reasons = reasons_of(store, task_id, visit.roles)
    repeated = "" if found.message is None else str(found.message.headers.get("replay_of", ""))
    values = task_values(found, visit.roles)
    return visit.render("task", reasons=reasons, repeated=repeated, can_retry=_can_retry(found), **values)


def _can_retry(found: inspect.TaskView) -> bool:
    return found.snapshot.is_finished and found.snapshot.state.value != "SUCCESS"


@view(VIEW, "GET", "HEAD")
def workers(visit: Visit) -> HttpResponse:
    """Show the workers, and what each runs."""
    store, wire = visit.backend.stores.plain, visit.backend.store_settings.wire
    rows = [
        {
            "name": one.info.name,
            "is_live": one.info.is_live,
            "silent": span(one.info.silent_ms),
            "serves": _serves(one.info.about),
            "running": [
                {
                    "id": each.id,
                    "task": inspect.task_of(each, wire),
                    "for": span(one.info.beat_ms + one.info.silent_ms - each.started_ms),
                }
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
    page = inspect.dead_letters(visit.backend.stores.plain, visit.request.GET.get("cursor", ""), _PAGE)
    letters = [letter_row(one, visit.roles) for one in page.letters]
    return visit.render("dead_letters", letters=letters, following=_following(page.cursor))


@view(VIEW, "GET", "HEAD")
def audit(visit: Visit) -> HttpResponse:
    """Show who changed what, and why."""
    page = audits.entries(visit.backend.stores.plain, visit.request.GET.get("cursor", ""), _PAGE)
    entries = [{**one._asdict(), "at": moment(one.at_ms)} for one in page.entries]
    return visit.render("audit", entries=entries, following=_following(page.cursor))


def _following(cursor: str) -> str:
    return urlencode({"cursor": cursor}) if cursor else ""
