"""Progress costs little and is soon visible."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.process.test_executors import EXECUTORS
from tests.support.bounds import Bound
from tests.support.fleet import Fleet

pytestmark = pytest.mark.timing


@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_the_last_progress_shows_within_100_ms_of_ten_thousand_a_second(
    fleet: Fleet, executor: str, figure: Callable[[str], None], bound: Bound
) -> None:
    fleet.start("--concurrency", "1", *EXECUTORS[executor])
    costs, delays = [], []
    for _ in range(3):  # the machine's noise only ever adds: the least is what it costs
        cost, delay_s = _measured(fleet)
        figure(f"{cost * 100:.1f} % of the task's time, last value after {delay_s * 1e3:.0f} ms")
        costs.append(cost)
        delays.append(delay_s)
        if cost < 0.05 and 0 < delay_s < 0.15:
            break
    assert min(costs) < 0.05
    assert 0 < min(delays) < bound(0.15), "100 ms, and a look takes its time too"


def _measured(fleet: Fleet) -> tuple[float, float]:
    """Return the share of its time that a task spent on its reports, and after how many seconds the last one showed."""
    result = fleet.enqueue("report", 10_000, 1.0, 0.5)
    last_seen = 0.0
    while not result.ready():
        progress = result.progress
        if progress is not None and progress["step"] == 9_999 and not last_seen:
            last_seen = time.monotonic() - progress["at"]
    return result.get(0), last_seen
