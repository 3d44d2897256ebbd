"""Charts of what finished by the minute; a table by the hour says the same to who does not see them."""

from __future__ import annotations

from itertools import batched
from typing import Final
from urllib.parse import quote

from django.http import HttpResponse, JsonResponse

from streamtasks.exceptions import ServerNotSupported
from streamtasks.operations import inspect
from streamtasks.operations.minutes import Minute, PastHours, hours_for, last_hours
from streamtasks.protocol.keys import check_queue

from ..access import VIEW, Visit, view
from ..formats import moment, span

__all__ = ["charts"]

_past: Final = PastHours()


@view(VIEW, "GET", "HEAD")
def charts(visit: Visit) -> HttpResponse:
    """Show what finished in the last day, of one queue or of all."""
    store, queue = visit.backend.stores.plain, visit.request.GET.get("queue", "").strip()
    if queue:
        check_queue(queue)
    queues = [one.queue for one in inspect.queues(store)]
    is_json = visit.request.GET.get("format") == "json"
    try:
        minutes = last_hours(store, [queue] if queue else queues, past=_past)
    except ServerNotSupported as error:
        if is_json:
            raise
        return visit.render("charts", problem=str(error))
    if is_json:
        return JsonResponse(
            {
                "at": [one.at_ms // 1000 for one in minutes],
                "succeeded": [one.succeeded for one in minutes],
                "failed": [one.failed for one in minutes],
                "other": [one.other for one in minutes],
                "mean_ms": [None if one.mean_ms is None else round(one.mean_ms, 1) for one in minutes],
            }
        )
    hours = [_hour(list(some), queue) for some in batched(minutes, 60)]
    return visit.render(
        "charts",
        hours=[one for one in reversed(hours) if one["finished"]],
        queue=queue,
        queues=queues,
        most_hours=hours_for(store, 1 if queue else len(queues)),
    )


def _hour(minutes: list[Minute], queue: str) -> dict[str, object]:
    finished, run_ms = sum(one.finished for one in minutes), sum(one.run_ms for one in minutes)
    terms = f"state:finished since:{minutes[0].at_ms} until:{minutes[-1].at_ms + 60_000}"
    return {
        "at": moment(minutes[0].at_ms),
        "finished": finished,
        "failed": sum(one.failed for one in minutes),
        "mean": span(round(run_ms / finished)) if finished else "-",
        "filter": quote(f"{terms} queue:{queue}" if queue else terms),
    }
