"""The pages that show something."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpResponse

from streamtasks.exceptions import ServerNotSupported
from streamtasks.operations import audit as audits
from streamtasks.operations import inspect
from streamtasks.operations.failures import Failures, recent_failures

from .access import VIEW, Visit, view
from .attention import RECENT_MS, concerns
from .formats import moment, span
from .pages.queue import pause_rows
from .pages.worker import serves_text

__all__ = ["audit", "overview", "queues", "workers"]

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
    return visit.render("queues", queues=_queue_rows(inspect.queues(store)), pauses=pause_rows(visit))


def _queue_rows(found: list[inspect.QueueView]) -> list[dict[str, object]]:
    return [{**one._asdict(), "oldest": span(one.oldest_ms)} for one in found]


@view(VIEW, "GET", "HEAD")
def workers(visit: Visit) -> HttpResponse:
    """Show the workers, and what each runs."""
    store, wire = visit.backend.stores.plain, visit.backend.store_settings.wire
    rows = [
        {
            "name": one.info.name,
            "is_live": one.info.is_live,
            "silent": span(one.info.silent_ms),
            "serves": serves_text(one.info.about),
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


@view(VIEW, "GET", "HEAD")
def audit(visit: Visit) -> HttpResponse:
    """Show who changed what, and why."""
    page = audits.entries(visit.backend.stores.plain, visit.request.GET.get("cursor", ""), _PAGE)
    entries = [{**one._asdict(), "at": moment(one.at_ms)} for one in page.entries]
    return visit.render("audit", entries=entries, following=_following(page.cursor))


def _following(cursor: str) -> str:
    return urlencode({"cursor": cursor}) if cursor else ""
