"""Schedules that code and settings declare: read entries, which are dicts by name, into definitions."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from ..exceptions import InvalidTask, StreamTasksError
from ..tasks.enqueue import declaring
from ..tasks.signature import Signature
from .definition import DEFAULT_BOUND_S, Definition
from .occurrences import check_misfire
from .owner import ScheduleOwner, check_repeatable, definition_of
from .rules import rule_of

__all__ = ["ENTRY", "check_entry", "declared", "definition_of_entry", "entry_of"]

ENTRY: Final = ("task", "schedule", "args", "kwargs", "options", "misfire", "misfire_bound")
"""Every key of an entry; the first two are needed."""

logger = logging.getLogger("streamtasks.schedules")


def entry_of(task: Any, schedule: Any) -> dict[str, Any]:
    """Return the entry of ``@task(schedule=...)``, which is a rule, or an entry without a task.

    Raises:
        InvalidTask: the entry names a task.
    """
    if not isinstance(schedule, Mapping):
        return {"task": task, "schedule": schedule}
    if "task" in schedule:
        raise InvalidTask(f"schedule is {dict(schedule)!r}; of a task it is for this task, leave out 'task'.")
    return {"task": task, **schedule}


def definition_of_entry(owner: ScheduleOwner, name: str, entry: Any) -> Definition:
    """Return the definition of an entry.

    Args:
        owner: of the schedule.
        name: of the schedule.
        entry: ``{"task": task or name, "schedule": rule, "args": list, "kwargs": dict, "options": dict, "misfire":
            policy, "misfire_bound": seconds or timedelta}``; see `Schedules.create` for each.

    Raises:
        InvalidTask: it is wrong; the message does not name the entry.
    """
    call, bound = _call(owner.signature_of, entry), entry.get("misfire_bound")
    with declaring():  # at each start of a worker, and in checks: nothing is enqueued
        return definition_of(
            owner,
            name,
            call,
            entry["schedule"],
            entry.get("misfire") or "one",
            DEFAULT_BOUND_S if bound is None else bound,
        )


class _Call(Protocol):
    def __call__(
        self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any], /
    ) -> Signature:
        """See `ScheduleOwner.signature_of`."""
        ...


def check_entry(call: _Call, entry: Any) -> None:
    """Check an entry as far as possible while code is loaded. ``call``: see `ScheduleOwner.signature_of`.

    Raises:
        InvalidTask: it is wrong.
    """
    check_repeatable(_call(call, entry))
    rule_of(entry["schedule"])
    check_misfire(entry.get("misfire") or "one")


def _call(call: _Call, entry: Any) -> Signature:
    if not isinstance(entry, Mapping):
        raise InvalidTask(f"it is {entry!r}; it must be a dict such as {{'task': ..., 'schedule': crontab(...)}}.")
    for key in entry:
        if key not in ENTRY:
            close = difflib.get_close_matches(str(key), ENTRY, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise InvalidTask(f"it has the unknown key {key!r}.{meant} Known: {', '.join(ENTRY)}.")
    for key in ("task", "schedule"):
        if entry.get(key) is None:
            raise InvalidTask(f"it has no {key!r}.")
    options = entry.get("options") or {}
    if not isinstance(options, Mapping):
        raise InvalidTask(f"options is {options!r}; it must be a dict.")
    return call(entry["task"], entry.get("args") or (), entry.get("kwargs") or {}, options)


def declared(owner: ScheduleOwner, entries: Iterable[tuple[str, Any]]) -> list[Definition]:
    """Return the definitions of entries. A wrong entry is logged and left out.

    Args:
        owner: of the schedules.
        entries: (name, entry); see `definition_of_entry`. Of two with one name, the second is wrong.
    """
    found: dict[str, Definition] = {}
    for name, entry in entries:
        try:
            if name in found:
                raise InvalidTask("there is another one of that name.")
            found[name] = definition_of_entry(owner, name, entry)
        except (StreamTasksError, TypeError, ValueError) as error:
            logger.error("The schedule %r of %s is left out: %s", name, owner.description, error)  # noqa: TRY400 - it says it all
    return list(found.values())
