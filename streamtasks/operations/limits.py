"""Find which rate limits hold tasks back, and which task is the next of each, in a bounded number of calls."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..protocol.wire import Wire
from ..stores.base import Store
from ..stores.inspection_types import Standing
from .inspect import TaskView, tasks

__all__ = ["Limits", "WaitingLimit", "waiting_limits"]

_LOOKED_AT: Final = 100
_MOST_ASKED: Final = 5
"""Of so many limits it is asked when the next start is allowed."""


class WaitingLimit(NamedTuple):
    """A rate limit that holds tasks back.

    Attributes:
        name: of the limit.
        waiting: the tasks that were looked at and wait for it.
        standing: of the first of these; None: it was not asked for, or has gone on meanwhile.
    """

    name: str
    waiting: list[TaskView]
    standing: Standing | None


class Limits(NamedTuple):
    """The rate limits that hold tasks back, those of the most tasks first.

    Attributes:
        limits: of the tasks that were looked at.
        total: how many tasks wait for a limit.
        looked_at: how many of them were looked at.
    """

    limits: list[WaitingLimit]
    total: int
    looked_at: int


def waiting_limits(store: Store, wire: Wire) -> Limits:
    """Return the limits for which tasks wait, of the first 100 tasks. Asks at most eight times.

    Raises:
        ServerNotSupported: the store lists no tasks.
    """
    found = tasks(store, wire, "limited", limit=_LOOKED_AT).tasks
    by_limit: dict[str, list[TaskView]] = {}
    for one in found:
        by_limit.setdefault(one.snapshot.waits_for, []).append(one)
    ordered = sorted(by_limit.items(), key=lambda item: -len(item[1]))
    limits = [
        WaitingLimit(name, waiting, store.standing(waiting[0].id) if place < _MOST_ASKED else None)
        for place, (name, waiting) in enumerate(ordered)
    ]
    return Limits(limits, store.measures().limited, len(found))
