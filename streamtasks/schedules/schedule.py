"""A schedule as users see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ..exceptions import DecodeError
from ..protocol.wire import Wire
from ..stores.schedule_store import StoredSchedule
from .definition import DEFAULT_BOUND_S, Definition
from .rules import Rule

__all__ = ["Schedule", "show"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule as it was when it was read.

    Attributes:
        name: its name.
        task: the name of the task that it calls.
        args: positional arguments.
        kwargs: keyword arguments.
        options: the options of each call, as ``apply_async()`` takes them.
        rule: when it is due; None if this release cannot read it, see ``error``.
        misfire: the policy for occurrences that were not fired in time: ``"one"``, ``"skip"`` or ``"all"``.
        misfire_bound: an occurrence that is older than this is not fired any more.
        next_run: the next occurrence, aware; None while it is paused.
        paused: whether it is.
        declared: the label of the app whose code declares it; empty: it was made at run time.
        fired: how many occurrences were fired.
        missed: how many were not, by its ``misfire``.
        last_run: the last occurrence that was fired; None: none yet.
        last_task_id: the id of its task.
        error: why this release cannot read it; empty: it can.
    """

    name: str
    task: str = ""
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    rule: Rule | None = None
    misfire: str = "one"
    misfire_bound: timedelta = timedelta(seconds=DEFAULT_BOUND_S)
    next_run: datetime | None = None
    paused: bool = False
    declared: str = ""
    fired: int = 0
    missed: int = 0
    last_run: datetime | None = None
    last_task_id: str = ""
    error: str = ""


def _moment(ms: int | None) -> datetime | None:
    return None if not ms else datetime.fromtimestamp(ms / 1000, UTC)


def show(stored: StoredSchedule, wire: Wire) -> Schedule:
    """Return what a store keeps of a schedule as users see it; ``wire`` reads it."""
    shown = Schedule(
        name=stored.name,
        next_run=None if stored.paused else _moment(stored.next_ms),
        paused=stored.paused,
        declared=stored.declared,
        fired=stored.fired,
        missed=stored.missed,
        last_run=_moment(stored.last_ms),
        last_task_id=stored.last_id,
    )
    try:
        known = Definition.decode(stored.definition, stored.name, wire)
        call = known.signature
    except DecodeError as error:
        return replace(shown, error=str(error))
    return replace(
        shown,
        task=call.task,
        args=call.args,
        kwargs=call.kwargs,
        options=call.options.given(),
        rule=known.rule,
        misfire=known.misfire,
        misfire_bound=timedelta(seconds=known.bound_s),
    )
