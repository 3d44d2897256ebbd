"""Charts of what ended by the minute or by the hour; a table says the same to who does not see them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from django.http import HttpResponse, JsonResponse

from streamtasks.operations.series import MINUTE_MS, Chart, Point, chart
from streamtasks.protocol.keys import check_queue

from ..access import VIEW, Visit, view
from ..formats import moment, span

__all__ = ["charts"]


@view(VIEW, "GET", "HEAD")
def charts(visit: Visit) -> HttpResponse:
    """Show what ended in the last day or month, of one queue, of one task or of all."""
    given = visit.request.GET
    queue, task = given.get("queue", "").strip(), given.get("task", "").strip()
    by_hour = given.get("by") == "hour"
    if queue:
        check_queue(queue)
        task = ""
    found = chart(visit.backend.stores.plain, queue=queue, task=task, by_hour=by_hour)
    rows = [_row(one, found, queue, task) for one in found.table]
    if given.get("format") == "json":
        return JsonResponse(_columns(found) | {"table": rows})
    return visit.render(
        "charts",
        rows=rows,
        queue=queue,
        task=task,
        by_hour=by_hour,
        queues=_with(found.queues, queue),
        tasks=_with(found.tasks, task),
        releases=[{**one._asdict(), "at": moment(one.at_ms)} for one in found.releases[:20]],
    )


def _with(names: list[str], chosen: str) -> list[str]:
    """Return names and, among them, the one that was chosen."""
    return sorted({*names, chosen} - {""})


def _columns(found: Chart) -> dict[str, Any]:
    points = found.points
    columns: dict[str, Any] = {
        name: [getattr(one, name) for one in points] for name in ("succeeded", "failed", "other", "retried")
    }
    for name in ("run_p50_s", "run_p95_s", "wait_p50_s", "wait_p95_s"):
        columns[name] = [None if (value := getattr(one, name)) is None else round(value, 4) for one in points]
    several = len({one.project for one in found.releases}) > 1
    return {
        "at": [one.at_ms // 1000 for one in points],
        "each_s": found.each_ms // 1000,
        **columns,
        "releases": [
            {"at": one.at_ms // 1000, "text": f"{one.project}: {one.release}" if several else one.release}
            for one in found.releases
        ],
    }


def _row(one: Point, found: Chart, queue: str, task: str) -> dict[str, Any]:
    lasts_ms = 60 * MINUTE_MS if found.each_ms == MINUTE_MS else 24 * 60 * MINUTE_MS
    terms = f"state:finished since:{one.at_ms} until:{one.at_ms + lasts_ms}"
    chosen = f" queue:{queue}" if queue else f" task:{task}" if task else ""
    return {
        "at": moment(one.at_ms)[:16],
        "finished": one.finished,
        "failed": one.failed,
        "retried": one.retried,
        **{
            name: "-" if value is None else span(max(1, round(value * 1000)))
            for name, value in zip(
                ("run_p50", "run_p95", "wait_p50", "wait_p95"),
                (one.run_p50_s, one.run_p95_s, one.wait_p50_s, one.wait_p95_s),
                strict=True,
            )
        },
        "filter": quote(f"{terms}{chosen}"),
    }
