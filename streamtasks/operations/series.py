"""Read what workers have counted, for charts: a day by the minute, or thirty days by the hour."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..protocol.series import (
    ALL,
    FIRST,
    RUN_BOUNDS_S,
    WAIT_BOUNDS_S,
    of_queue,
    of_task,
    percentile_s,
    summed,
)
from ..stores.base import Store
from ..stores.series_types import MOST_DAYS, MOST_HOURS, Release

__all__ = ["HOUR_MS", "MINUTE_MS", "Chart", "Point", "chart"]

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000

_RUNS: Final = slice(len(FIRST), len(FIRST) + len(RUN_BOUNDS_S) + 1)
_WAITS: Final = slice(_RUNS.stop, None)


class Point(NamedTuple):
    """What ended in a minute or in an hour.

    Attributes:
        at_ms: when it began, ms since the epoch.
        succeeded: tasks.
        failed: tasks, dead letters among them.
        other: tasks that were revoked or had expired when a worker came to them.
        retried: attempts after which a task runs again.
        run_ms: how long attempts ran, all together, ms.
        run_p50_s: half of the attempts ran for at most so long, seconds; estimated from a histogram, as the next ones.
        run_p95_s: 95 of 100 did.
        wait_p50_s: half of the messages waited at most so long until they started, deliberate delays left out.
        wait_p95_s: 95 of 100 did.
    """

    at_ms: int
    succeeded: int = 0
    failed: int = 0
    other: int = 0
    retried: int = 0
    run_ms: int = 0
    run_p50_s: float | None = None
    run_p95_s: float | None = None
    wait_p50_s: float | None = None
    wait_p95_s: float | None = None

    @property
    def finished(self) -> int:
        """All that finished."""
        return self.succeeded + self.failed + self.other


class Chart(NamedTuple):
    """What was counted of a queue, of a task or of everything.

    Attributes:
        each_ms: how long a point lasts: a minute or an hour, ms.
        points: the latest last; each minute or hour has one, also if nothing happened.
        table: the same by the hour for a chart by the minute, and by the day for one by the hour; the
            latest first, without those in which nothing happened.
        releases: which workers started since the first point, newest first.
        queues: that were counted today or yesterday.
        tasks: likewise.
    """

    each_ms: int
    points: list[Point]
    table: list[Point]
    releases: list[Release]
    queues: list[str]
    tasks: list[str]


def chart(store: Store, *, queue: str = "", task: str = "", by_hour: bool = False) -> Chart:
    """Return what ended in each minute of the last 24 hours, or in each hour of the last 30 days.

    Args:
        store: where it was counted.
        queue: only of this queue.
        task: only of this task; not with a queue.
        by_hour: the 30 days.
    """
    name = of_queue(queue) if queue else of_task(task) if task else ALL
    found = store.series([name], by_hour=by_hour)
    counts = found.counts[name]
    each_ms, most = (HOUR_MS, MOST_DAYS * 24) if by_hour else (MINUTE_MS, MOST_HOURS * 60)
    last_ms = found.now_ms // each_ms * each_ms
    starts = range(last_ms - (most - 1) * each_ms, last_ms + 1, each_ms)
    points = [_point(at_ms, counts[at_ms]) if at_ms in counts else Point(at_ms) for at_ms in starts]
    rows: dict[int, list[list[int]]] = {}
    row_ms = 24 * HOUR_MS if by_hour else HOUR_MS
    for at_ms, one in counts.items():
        if at_ms >= starts[0]:
            rows.setdefault(at_ms // row_ms * row_ms, []).append(one)
    return Chart(
        each_ms,
        points,
        [_point(at_ms, summed(some)) for at_ms, some in sorted(rows.items(), reverse=True)],
        [one for one in found.releases if one.at_ms >= starts[0]],
        [one.removeprefix("q:") for one in found.names if one.startswith("q:")],
        [one.removeprefix("t:") for one in found.names if one.startswith("t:")],
    )


def _point(at_ms: int, counts: list[int]) -> Point:
    runs, waits = counts[_RUNS], counts[_WAITS]
    succeeded, failed, other, retried, run_ms = counts[:5]
    return Point(
        at_ms,
        succeeded,
        failed,
        other,
        retried,
        run_ms,
        percentile_s(runs, RUN_BOUNDS_S, 0.5),
        percentile_s(runs, RUN_BOUNDS_S, 0.95),
        percentile_s(waits, WAIT_BOUNDS_S, 0.5),
        percentile_s(waits, WAIT_BOUNDS_S, 0.95),
    )
