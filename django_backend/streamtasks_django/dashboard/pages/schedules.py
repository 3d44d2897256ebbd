"""The pages of schedules: when each is due, what became of its last task, pause and run now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from django.http import HttpResponse

from streamtasks.operations import schedule_control
from streamtasks.operations.schedule_views import ScheduleView, coming, due_in_day, listed, one_of
from streamtasks.schedules.schedules import Schedule
from streamtasks.stores.factory import clock_ms

from ..access import ADMINISTER, OPERATE, SEE_ARGUMENTS, VIEW, Visit, view
from ..changes import Change, address, back, by, change
from ..formats import HIDDEN, call_text, moment, value_text
from ..redaction import redacted
from ..rows import MEANINGS, said_by
from .schedule_edit import form_of

__all__ = ["schedule", "schedule_pause", "schedule_resume", "schedule_run", "schedules"]

_PAGE: Final = 50
_COMING: Final = 10
_OFTEN: Final = 48
"""What is due more often in a day is not listed by hour."""


@view(VIEW, "GET", "HEAD")
def schedules(visit: Visit) -> HttpResponse:
    """Show the schedules, and the next 24 hours."""
    found = listed(visit.backend.schedules, _PAGE, visit.request.GET.get("after", ""))
    now_ms = clock_ms(visit.backend.owner.store)
    following = address(visit, "schedules", after=found[-1].schedule.name) if len(found) == _PAGE else ""
    return visit.render(
        "schedules",
        schedules=[_row(visit, one) for one in found],
        **_day([one.schedule for one in found], now_ms),
        following=following,
    )


def _row(visit: Visit, one: ScheduleView) -> dict[str, Any]:
    known, last = one.schedule, one.last
    return {
        "name": known.name,
        "address": address(visit, "schedule", name=known.name),
        "task": known.task,
        "rule": repr(known.rule) if known.rule is not None else "",
        "problem": known.error,
        "is_paused": known.paused,
        "next": moment(next(iter(coming(known, 1)), 0)),
        "last": moment(_ms(known.last_run)),
        "last_id": known.last_task_id,
        "last_state": last.state if last is not None else "",
        "last_meaning": MEANINGS.get(last.snapshot.state.value, "quiet") if last is not None else "quiet",
        "last_error": said_by(last, visit.roles) if last is not None and last.error else "",
        "missed": known.missed,
    }


def _ms(at: datetime | None) -> int:
    return 0 if at is None else round(at.timestamp() * 1000)


def _day(found: list[Schedule], now_ms: int) -> dict[str, Any]:
    """Return the next 24 hours: those with schedules that are due in them, and what is due several times in each."""
    now_ms -= now_ms % 3_600_000
    counts = [(one.name, due_in_day(one, now_ms)) for one in found]
    often = [(name, sum(by_hour)) for name, by_hour in counts if sum(by_hour) > _OFTEN]
    counts = [(name, by_hour) for name, by_hour in counts if sum(by_hour) <= _OFTEN]
    hours = []
    for hour in range(24):
        at = datetime.fromtimestamp(now_ms / 1000 + hour * 3600, UTC)
        due = [(name, by_hour[hour]) for name, by_hour in counts if by_hour[hour]]
        if due:
            hours.append({"from": f"{at:%d %b %H:%M}", "due": due[:20], "more": max(0, len(due) - 20)})
    return {"hours": hours, "often": often[:20]}


@view(VIEW, "GET", "HEAD")
def schedule(visit: Visit) -> HttpResponse:
    """Show one schedule."""
    one = one_of(visit.backend.schedules, visit.request.GET.get("name", ""))
    known, may_see = one.schedule, SEE_ARGUMENTS in visit.roles
    call = HIDDEN
    if may_see:
        args = redacted("args", known.task, list(known.args))
        call = call_text(args, redacted("kwargs", known.task, dict(known.kwargs)))
    return visit.render(
        "schedule",
        row=_row(visit, one),
        call=call,
        options=[(name, value_text(value, 500) if may_see else HIDDEN) for name, value in known.options.items()],
        declared=known.declared,
        misfire=known.misfire,
        bound=known.misfire_bound,
        fired=known.fired,
        coming=[moment(ms) for ms in coming(known, _COMING)],
        changes=_changes(visit, known),
        form=form_of(visit, known),
    )


def _changes(visit: Visit, known: Schedule) -> list[Change]:
    found: list[Change] = []
    fields = {"name": known.name}
    if OPERATE in visit.roles and not known.error:
        text = "One call more, now; the schedule stays as it is."
        found.append(change(visit, "schedule_run", "Run it now", text=text, fields=fields))
    if ADMINISTER in visit.roles:
        if known.paused:
            found.append(change(visit, "schedule_resume", "Resume it", fields=fields))
        else:
            text = "It is not due until it is resumed, also across deploys."
            found.append(change(visit, "schedule_pause", "Pause it", text=text, fields=fields))
    return found


def _is_paused(visit: Visit, name: str) -> bool:
    return visit.backend.schedules.get(name).paused


@view(ADMINISTER, "POST")
def schedule_pause(visit: Visit) -> HttpResponse:
    """Pause a schedule until it is resumed."""
    name, who = visit.request.POST.get("name", ""), by(visit)
    was_paused = _is_paused(visit, name)
    if not was_paused:
        schedule_control.pause(visit.backend.schedules, name, **who)
    return back(visit, "schedule", note="was_paused" if was_paused else "paused", name=name)


@view(ADMINISTER, "POST")
def schedule_resume(visit: Visit) -> HttpResponse:
    """Resume a schedule with its first occurrence from now on."""
    name, who = visit.request.POST.get("name", ""), by(visit)
    was_paused = _is_paused(visit, name)
    if was_paused:
        schedule_control.resume(visit.backend.schedules, name, **who)
    return back(visit, "schedule", note="resumed" if was_paused else "was_not_paused", name=name)


@view(OPERATE, "POST")
def schedule_run(visit: Visit) -> HttpResponse:
    """Enqueue one call of a schedule now; go to its task."""
    name, who = visit.request.POST.get("name", ""), by(visit)
    return back(visit, "task", schedule_control.run_now(visit.backend.schedules, name, **who), note="ran")
