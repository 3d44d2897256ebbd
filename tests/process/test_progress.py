"""Progress costs little and is soon visible."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.process.test_executors import EXECUTORS
from tests.support.workers import Field


@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_the_last_progress_shows_within_100_ms_of_ten_thousand_a_second(
    field: Field, executor: str, figure: Callable[[str], None]
) -> None:
    field.start("--concurrency", "1", *EXECUTORS[executor])
    result = field.enqueue("report", 10_000, 1.0, 0.5)
    last_seen = 0.0
    while not result.ready():
        progress = result.progress
        if progress is not None and progress["step"] == 9_999 and not last_seen:
            last_seen = time.monotonic() - progress["at"]
    cost = result.get(0)
    figure(f"{cost * 100:.1f} % of the task's time, last value after {last_seen * 1e3:.0f} ms")
    assert cost < 0.05
    assert 0 < last_seen < 0.15, "100 ms, and a look takes its time too"
