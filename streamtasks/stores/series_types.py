"""What stores keep for charts: the counts that a worker adds, and what is read of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["MOST_DAYS", "MOST_HOURS", "MOST_RELEASES", "NewSeries", "Release", "Series"]

MOST_HOURS: Final = 24
"""So many hours, and the present one, are known by the minute."""

MOST_DAYS: Final = 30
"""So many days, and the present one, are known by the hour."""

MOST_RELEASES: Final = 200
"""So many releases are kept, all projects together."""


class NewSeries(NamedTuple):
    """What a worker has counted.

    Attributes:
        worker: its name.
        number: of the call, which rises; one that comes a second time changes nothing.
        age_ms: how long ago it was counted, ms.
        counts: of each series its name and its counts, see `protocol.series`.
    """

    worker: str
    number: int
    age_ms: int
    counts: Sequence[tuple[str, str]]


class Release(NamedTuple):
    """When workers of a project first started with another release than those before.

    Attributes:
        at_ms: when, ms since the epoch.
        project: whose workers.
        release: what they run.
    """

    at_ms: int
    project: str
    release: str


class Series(NamedTuple):
    """What was counted of some queues and tasks.

    Attributes:
        now_ms: the store's time, ms since the epoch.
        releases: those that are kept, newest first.
        names: of the series that were counted today or yesterday, by UTC.
        counts: of each series that was asked for, by the beginning of a minute or an hour, ms since the epoch.
    """

    now_ms: int
    releases: list[Release]
    names: list[str]
    counts: dict[str, dict[int, list[int]]]
