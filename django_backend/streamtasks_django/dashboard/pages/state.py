"""The pages about what holds tasks back: rate limits, and what the doctor finds."""

from __future__ import annotations

from typing import Final

from django.http import HttpResponse

from streamtasks.operations.doctor import Level, diagnose
from streamtasks.operations.limits import waiting_limits

from ..access import VIEW, Visit, view
from ..formats import moment, span
from ..rows import task_row

__all__ = ["doctor", "limits"]

_SHOWN: Final = 10
_MEANINGS: Final = {Level.OK: "good", Level.NOTE: "quiet", Level.WARNING: "warn", Level.ERROR: "bad"}


@view(VIEW, "GET", "HEAD")
def limits(visit: Visit) -> HttpResponse:
    """Show the rate limits for which tasks wait, and which tasks these are."""
    found = waiting_limits(visit.backend.stores.plain, visit.backend.store_settings.wire)
    rows = []
    for one in found.limits:
        standing = one.standing
        rows.append(
            {
                "name": one.name,
                "number": len(one.waiting),
                "every": span(max(1, standing.limit_us // 1000)) if standing is not None and standing.limit_us else "",
                "next": moment(standing.limit_ms) if standing is not None and standing.limit_ms else "",
                "waiting": [task_row(task, visit.roles) for task in one.waiting[:_SHOWN]],
                "more": max(0, len(one.waiting) - _SHOWN),
            }
        )
    return visit.render("limits", limits=rows, total=found.total, looked_at=found.looked_at)


@view(VIEW, "GET", "HEAD")
def doctor(visit: Visit) -> HttpResponse:
    """Show what the doctor finds, the worst first."""
    found = diagnose(visit.backend.application())
    findings = [
        {"meaning": _MEANINGS[one.level], "level": one.level.word, "check": one.check, "where": one.where,
         "message": one.message, "remedy": one.remedy}
        for one in sorted(found.findings, key=lambda one: -one.level)
    ]  # fmt: skip
    return visit.render(
        "doctor",
        findings=[one for one in findings if one["level"] != "ok"],
        well=[one for one in findings if one["level"] == "ok"],
        server=found.address,
    )
