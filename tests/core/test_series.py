"""Series of counts for charts: their texts, and how stores keep them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streamtasks import StoreSettings
from streamtasks.operations.series import HOUR_MS, MINUTE_MS, chart
from streamtasks.protocol import series
from streamtasks.stores.factory import open_store, open_supervisor_store
from streamtasks.stores.series_types import NewSeries


def text(succeeded: int = 0, failed: int = 0, runs: int = 0) -> str:
    """Counts of a worker: so many of these ran between 25 and 50 ms."""
    counts = [0] * series.COUNTS
    counts[0], counts[1], counts[6 + 5] = succeeded, failed, runs
    return series.text_of(counts)


def test_a_text_holds_lines_of_counts() -> None:
    once = series.add("", 7, text(3))
    twice = series.add(series.add(once, 8, text(1, 2)), 7, text(2, 0, 5))
    assert twice == "\n8a1b2\n7a5l5"
    found = series.counts_of(twice)
    assert found[7][:2] == [5, 0]
    assert found[8][:2] == [1, 2]
    assert series.counts_of("") == {}
    assert series.COUNTS <= 52, "each has a letter"


@pytest.mark.parametrize(
    ("buckets", "share", "wanted"),
    [
        ([0, 0, 0, 0], 0.5, None),
        ([4, 0, 0, 0], 0.5, 0.5),
        ([0, 4, 0, 0], 1.0, 2.0),
        ([1, 0, 1, 0], 0.75, 3.0),
        ([0, 0, 0, 9], 0.95, 4.0),
    ],
)
def test_percentiles_lie_inside_their_buckets(buckets: list[int], share: float, wanted: float | None) -> None:
    assert series.percentile_s(buckets, (1.0, 2.0, 4.0), share) == wanted


async def fill(settings: StoreSettings) -> None:
    keeper = open_supervisor_store(settings)
    names = [series.ALL, series.of_queue("mail"), series.of_task("shop.send")]
    for worker, number in (("one", 1), ("one", 1), ("two", 1), ("one", 2)):
        await keeper.add_series(NewSeries(worker, number, 0, [(name, text(2, 1, 3)) for name in names]))
    await keeper.add_series(NewSeries("one", 3, 3 * HOUR_MS, [(series.ALL, text(10))]))
    await keeper.add_series(NewSeries("one", 4, 30 * HOUR_MS, [(series.ALL, text(100))]))
    many = [(series.of_task(f"t{place:04}"), text(1)) for place in range(700)]
    await keeper.add_series(NewSeries("one", 5, 0, many))
    for release in ("1", "1", "2", "1"):
        await keeper.note_release("shop", release)
        await keeper.note_release("other", "9")


def test_what_workers_count_is_kept_by_the_minute_and_by_the_hour(store_url: str) -> None:
    settings = StoreSettings(url=store_url, timeout_s=60.0)
    store: Any = open_store(settings)
    empty = chart(store)
    assert (len(empty.points), empty.table, empty.releases, empty.queues) == (24 * 60, [], [], [])
    asyncio.run(fill(settings))
    day, month = chart(store), chart(store, by_hour=True)
    assert (day.each_ms, month.each_ms) == (MINUTE_MS, HOUR_MS)
    assert (len(day.points), len(month.points)) == (24 * 60, 30 * 24)
    assert sum(one.succeeded for one in day.points) == 16, "what comes again with its number counts once"
    assert sum(one.failed for one in day.points) == 3
    assert sum(one.succeeded for one in month.points) == 116
    assert [one.succeeded for one in month.table][-1] == 100
    assert sum(one.finished for one in day.table) == 19
    point = next(one for one in reversed(day.points) if one.failed)
    assert point.run_p50_s is not None
    assert 0.025 < point.run_p50_s < 0.05
    assert point.wait_p95_s is None
    for chosen in (chart(store, queue="mail"), chart(store, task="shop.send")):
        assert sum(one.finished for one in chosen.points) == 9
    assert day.queues == ["mail"]
    assert len(day.tasks) == series.MOST_TASKS + 1
    assert "shop.send" in day.tasks
    assert sum(one.succeeded for one in chart(store, task=series.OTHER).points) == 201, "names past the bound fold"
    assert [(one.project, one.release) for one in day.releases] == [
        ("shop", "1"), ("shop", "2"), ("other", "9"), ("shop", "1"),
    ]  # fmt: skip
