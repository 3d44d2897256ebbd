"""Look at schedules: when each is due next, and what became of its last task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ..schedules.schedules import Schedule, Schedules
from .inspect import TaskView, view_of

__all__ = ["DAY_MS", "ScheduleView", "coming", "due_in_day", "listed", "one_of"]

DAY_MS: Final = 86_400_000

_HOUR_MS: Final = 3_600_000


class ScheduleView(NamedTuple):
    """A schedule, and its last task; None: there was none, or its record has expired."""

    schedule: Schedule
    last: TaskView | None


def listed(schedules: Schedules, limit: int = 50, after: str = "") -> list[ScheduleView]:
    """Return schedules in the order of their names, each with its last task. Asks twice.

    Args:
        schedules: those of an app or backend.
        limit: of schedules, at most 100.
        after: the last name that was seen; empty: from the first.
    """
    return _with_last(schedules, schedules.list(min(limit, 100), after))


def one_of(schedules: Schedules, name: str) -> ScheduleView:
    """Return a schedule with its last task. Asks twice.

    Raises:
        ScheduleNotFound: it does not exist.
    """
    return _with_last(schedules, [schedules.get(name)])[0]


def _with_last(schedules: Schedules, found: Sequence[Schedule]) -> list[ScheduleView]:
    owner = schedules.owner
    ids = [one.last_task_id for one in found if one.last_task_id]
    last = {one.id: view_of(one, owner.settings.wire) for one in (owner.store.read(ids) if ids else ()) if one}
    return [ScheduleView(one, last.get(one.last_task_id)) for one in found]


def coming(schedule: Schedule, number: int) -> list[int]:
    """Return the next occurrences of a schedule, ms since the epoch; none if it is paused or cannot be read."""
    if schedule.rule is None or schedule.next_run is None:
        return []
    found = [round(schedule.next_run.timestamp() * 1000)]
    while len(found) < number:
        found.append(schedule.rule.next_ms(found[-1]))
    return found


def due_in_day(schedule: Schedule, now_ms: int) -> list[int]:
    """Return how many occurrences of a schedule come in each of the next 24 hours."""
    if schedule.rule is None or schedule.next_run is None:
        return [0] * 24
    next_ms = round(schedule.next_run.timestamp() * 1000)
    counts = []
    for hour in range(24):
        first_ms, last_ms = now_ms + hour * _HOUR_MS, now_ms + (hour + 1) * _HOUR_MS - 1
        first_ms = max(first_ms, next_ms)
        counts.append(schedule.rule.count(first_ms, last_ms) if first_ms <= last_ms else 0)
    return counts
