"""Find what failed lately: how much, since when, and tasks to look at, in a bounded number of calls."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..protocol.state import Snapshot
from ..protocol.wire import Wire
from ..stores.steering_types import before_of
from .inspect import OUTCOMES, TaskView, view_of
from .store_calls import Steps, StoreOperation, ask

__all__ = ["MOST_COUNTED", "Failures", "recent_failures"]

MOST_COUNTED: Final = 1000
"""So many failures are counted, about; where there are more, that is said."""

_MOST_READ: Final = 100
_MOST_PAGES: Final = 3


class Failures(NamedTuple):
    """What failed since a time.

    Attributes:
        number: how many tasks.
        is_complete: whether that is all; False: there may be more, which ended before ``since_ms``.
        since_ms: what ended since then is counted, ms since the epoch.
        tasks: those that were looked at, the newest first: all if ``number`` is at most 100; otherwise about as many,
            spread evenly, the first and the last of those counted among them.
    """

    number: int
    is_complete: bool
    since_ms: int
    tasks: list[TaskView]


@StoreOperation
def recent_failures(wire: Wire, since_ms: int) -> Steps[Failures]:
    """Return what failed since a time by the store's clock, ms since the epoch. Asks at most five times.

    Raises:
        ServerNotSupported: the store lists no tasks.
    """
    ids: list[str]
    ids, cursor = yield ask("finished_ids", OUTCOMES["failed"], "", MOST_COUNTED, since_ms)
    for _ in range(_MOST_PAGES - 1):
        if not cursor or len(ids) >= MOST_COUNTED:
            break
        more, cursor = yield ask("finished_ids", OUTCOMES["failed"], cursor, MOST_COUNTED - len(ids), since_ms)
        ids += more
    known_ms = max(since_ms, before_of(cursor)) if cursor else since_ms
    step = -(-len(ids) // _MOST_READ) or 1
    found = yield from _read(wire, ids, list(range(0, len(ids), step)), since_ms)
    if step > 1:  # the first one that failed since then is behind the last of these
        last = max(found, default=0)
        found |= yield from _read(wire, ids, list(range(last + 1, min(last + step, len(ids)))), since_ms)
    number = len(found) if step == 1 else max(found, default=-1) + 1
    return Failures(number, known_ms == since_ms, known_ms, [found[place] for place in sorted(found)])


def _read(wire: Wire, ids: list[str], places: list[int], since_ms: int) -> Steps[dict[int, TaskView]]:
    """Return the tasks at places of a list that still are what they were, and have ended since a time."""
    snapshots: list[Snapshot | None] = (yield ask("read", [ids[place] for place in places])) if places else []
    return {
        place: view_of(one, wire)
        for place, one in zip(places, snapshots, strict=True)
        if one is not None and one.state in OUTCOMES["failed"] and one.finished_ms >= since_ms
    }
