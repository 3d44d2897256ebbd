"""Progress costs little and is soon visible."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from tests.process.test_executors import EXECUTORS
from tests.support.bounds import Bound
from tests.support.fleet import Fleet

pytestmark = pytest.mark.timing

MOST_TIMES = 3.0
"""A report may take so many times the yardstick: a share of time says little, for machines differ, and the
same one from hour to hour: 4.3 to 6.5 % for a task that reports 10,000 times a second, 2.1 to 2.4 yardsticks."""


@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_the_last_progress_shows_within_100_ms_of_ten_thousand_a_second(
    fleet: Fleet, executor: str, figure: Callable[[str], None], bound: Bound
) -> None:
    fleet.start("--concurrency", "1", *EXECUTORS[executor])
    costs, delays = [], []
    for _ in range(3):  # the machine's noise only ever adds: the least is what it costs
        yardstick = _yardstick()
        cost, delay_s = _measured(fleet)
        figure(
            f"{cost * 100:.1f} % of the task's time, {cost / yardstick:.2f} times the yardstick; "
            f"last value after {delay_s * 1e3:.0f} ms"
        )
        costs.append(cost / yardstick)
        delays.append(delay_s)
        if costs[-1] < MOST_TIMES and 0 < delay_s < 0.15:
            break
    assert min(costs) < MOST_TIMES
    assert 0 < min(delays) < bound(0.15), "100 ms, and a look takes its time too"


def _yardstick() -> float:
    """Return the share of a second that this machine takes to encode ten thousand reports with the standard library."""
    shares = []
    for _ in range(5):
        before = time.thread_time_ns()
        for step in range(10_000):
            json.dumps({"s": "COUNTING", "m": {"step": step, "at": time.monotonic()}})
        shares.append((time.thread_time_ns() - before) / 1e9)
    return min(shares)


def _measured(fleet: Fleet) -> tuple[float, float]:
    """Return the share of its time that a task spent on its reports, and after how many seconds the last one showed."""
    result = fleet.enqueue("report", 10_000, 1.0, 0.5)
    last_seen = 0.0
    while not result.ready():
        progress = result.progress
        if progress is not None and progress["step"] == 9_999 and not last_seen:
            last_seen = time.monotonic() - progress["at"]
    return result.get(0), last_seen
