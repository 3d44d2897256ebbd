"""Check-ins of schedules for Sentry's page "Crons": a monitor for each schedule, a check-in for each occurrence.

The headers of a fired task say which schedule it is of, and its rule, so that Sentry makes the monitor by itself.
"""

from __future__ import annotations

import os
import re
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from sentry_sdk.crons import capture_checkin

from ..exceptions import DecodeError
from ..protocol.message import Message
from ..protocol.state import State
from ..schedules.rules import crontab, rule_from_dict

__all__ = ["SWITCH", "check_in", "monitor_of"]

SWITCH: Final = "STREAMTASKS_SENTRY_CHECK_INS"
"""The environment variable that switches check-ins off: ``0``."""

MOST_SLUG: Final = 50
_MINUTE_MS: Final = 60_000
_UNITS: Final = (("day", 86_400_000), ("hour", 3_600_000), ("minute", _MINUTE_MS))

_STATUS: Final = {State.STARTED: "in_progress", State.SUCCESS: "ok", State.IGNORED: "ok"}
_ENDS_BADLY: Final = (State.FAILURE, State.DEAD, State.EXPIRED, State.REVOKED)


def check_in(message: Message, state: State, duration_s: float | None = None) -> None:
    """Send how an occurrence is: STARTED, or its final state; nothing for other tasks and for retries.

    All attempts of an occurrence are one check-in, whose id follows from that of the task.
    """
    status = _STATUS.get(state) or ("error" if state in _ENDS_BADLY else "")
    name = message.headers.get("schedule")
    if not status or not isinstance(name, str) or os.environ.get(SWITCH) == "0":
        return
    config = monitor_of(message.headers.get("schedule_rule"))
    slug = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")[:MOST_SLUG]
    if config is not None and slug:
        capture_checkin(slug, uuid5(NAMESPACE_URL, message.id).hex, status, duration_s, config)


def monitor_of(rule: Any) -> Any:
    """Return the configuration of a monitor; None: Sentry cannot follow such a rule.

    It knows no seconds, and where both days of the week and of the month are restricted it takes either.
    """
    try:
        known = rule_from_dict(rule)
    except DecodeError:
        return None
    if isinstance(known, crontab):
        fields = rule["crontab"]
        if "*" not in (fields["day_of_week"], fields["day_of_month"]):
            return None
        names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
        value = " ".join(str(fields[name]) for name in names)
        return {"schedule": {"type": "crontab", "value": value}, "timezone": rule["tz"]}
    for unit, ms in _UNITS:
        if rule["every_ms"] % ms == 0:
            return {"schedule": {"type": "interval", "value": rule["every_ms"] // ms, "unit": unit}}
    return None
