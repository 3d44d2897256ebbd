"""Change a schedule on its page: when it is due and what it calls; one that code declares is changed there."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from django.http import HttpResponse

from streamtasks.exceptions import InvalidTask
from streamtasks.operations import schedule_control
from streamtasks.schedules.rules import Rule, crontab, every, rule_of, zone_name
from streamtasks.schedules.schedules import Schedule

from ..access import ADMINISTER, Visit, view
from ..changes import address, back, by
from .edited import MOST, may_edit, read_json

__all__ = ["ScheduleForm", "form_of", "schedule_edit"]

_FIELDS: Final = 5


class ScheduleForm(NamedTuple):
    """What can be changed of a schedule.

    Attributes:
        address: to which it is sent.
        name: of the schedule.
        due: the five fields of cron, or seconds; empty: the rule is of a later release.
        zone: of cron.
        args: as JSON; None: they cannot be seen or changed by who asks.
        kwargs: likewise.
    """

    address: str
    name: str
    due: str
    zone: str
    args: str | None
    kwargs: str | None


def form_of(visit: Visit, known: Schedule) -> ScheduleForm | None:
    """Return the form for a schedule; None: it cannot be changed here, or not by who asks."""
    if ADMINISTER not in visit.roles or known.declared or known.error:
        return None
    args = kwargs = None
    if may_edit(visit):
        try:
            args = json.dumps(list(known.args), ensure_ascii=False)
            kwargs = json.dumps(dict(known.kwargs), ensure_ascii=False)
        except (TypeError, ValueError):  # pickled ones may be anything
            args = kwargs = None
        else:
            if len(args) + len(kwargs) > MOST:
                args = kwargs = None
    return ScheduleForm(address(visit, "schedule_edit"), known.name, *_due(known.rule), args, kwargs)


def _due(rule: Rule | None) -> tuple[str, str]:
    if isinstance(rule, crontab):
        fields = (rule.minute, rule.hour, rule.day_of_month, rule.month_of_year, rule.day_of_week)
        return " ".join(one.replace(" ", "") for one in fields), rule.tz or ""
    return (f"{rule.period_ms / 1000:.12g}", "") if isinstance(rule, every) else ("", "")


@view(ADMINISTER, "POST")
def schedule_edit(visit: Visit) -> HttpResponse:
    """Change a schedule: what differs from what it is."""
    given, who = visit.request.POST, by(visit)
    name = given.get("name", "")
    known = visit.backend.schedules.get(name)
    changes: dict[str, Any] = {}
    due, zone = given.get("due", "").strip(), given.get("zone", "").strip()
    if (due, zone) != _due(known.rule):
        changes["schedule"] = _rule(due, zone)
    if "args" in given:
        if not may_edit(visit):
            raise InvalidTask("Arguments that you may not see cannot be changed.")
        args, kwargs = read_json(given["args"], list), read_json(given.get("kwargs", "{}"), dict)
        if args != list(known.args):
            changes["args"] = args
        if kwargs != dict(known.kwargs):
            changes["kwargs"] = kwargs
    if changes:
        schedule_control.update(visit.backend.schedules, name, **changes, **who)
    return back(visit, "schedule", note="done" if changes else "was_so", name=name)


def _rule(due: str, zone: str) -> Rule:
    fields = due.split()
    if len(fields) == _FIELDS:
        found = rule_of(due)
        return found.in_zone(zone_name(zone)) if zone else found
    try:
        return rule_of(float(due))
    except ValueError:
        raise InvalidTask(
            f"{due!r} is no time; write the five fields of cron (minute, hour, day of month, month, day of week), or a "
            "number of seconds."
        ) from None
