"""What finished by the minute, of one queue or several."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from streamtasks import StreamTasks
from streamtasks.exceptions import ServerNotSupported
from streamtasks.operations.minutes import PastHours, hours_for, last_hours
from streamtasks.protocol.keys import Keys
from streamtasks.stores.measure_types import HourCounts
from tests.support.servers import client_of


def test_a_day_of_minutes(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, keys, client = StreamTasks(server_url).store, Keys("streamtasks:", "u0"), client_of(server_url)
    minute = time.time_ns() // 60_000_000_000 - 60
    counts: dict[Any, Any] = {f"{minute % 60} a SUCCESS": 3, f"{minute % 60} a DEAD": 1, f"{minute % 60} a ms": 80}
    client.hset(keys.counts(minute // 60), mapping={**counts, f"{minute % 60} b EXPIRED": 2})
    past = PastHours()
    found = {one.at_ms // 60_000: one for one in last_hours(store, ["a", "b"], past=past)}
    assert len(found) in range(23 * 60 + 1, 24 * 60 + 1)
    assert found[minute][1:] == (3, 1, 2, 80)
    assert found[minute].finished == 6
    assert sum(one.finished for one in found.values()) == 6
    [only] = [one for one in last_hours(store, ["a"], past=past) if one.finished]
    assert (only.finished, only.mean_ms) == (4, 20.0)
    asked: list[int] = []
    real = store.minute_counts

    def minute_counts(hours: Sequence[int], queue: str) -> tuple[int, list[HourCounts]]:
        asked.extend(hours)
        return real(hours, queue)

    monkeypatch.setattr(store, "minute_counts", minute_counts)
    assert sum(one.finished for one in last_hours(store, ["a", "b"], past=past)) == 6
    assert hours_for(store, 1) == 24
    assert hours_for(store, 50) == 4
    assert len(set(asked)) <= 3, "hours that are over are read once"


def test_a_store_in_memory_counts_none() -> None:
    with pytest.raises(ServerNotSupported, match="by minutes"):
        last_hours(StreamTasks("memory://").store, ["a"])
