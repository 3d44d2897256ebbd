"""The store in memory when its clock goes back: what tests/lua/test_beat.py says of a server holds of it as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamtasks import StoreSettings
from streamtasks.stores.memory import AsyncMemoryStore, Clock, MemoryServer

if TYPE_CHECKING:
    import pytest

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000


async def test_no_stored_time_outlasts_a_lease_or_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = StoreSettings(url="memory://back")
    clock = Clock(NOW_MS + HOUR_MS)
    store = AsyncMemoryStore(settings, MemoryServer(clock))
    shard = store.plain.shard("u0")
    await store.beat("u0", "silent", {})
    shard.leases |= {"gone#1": NOW_MS + HOUR_MS + settings.lease_ms, "w#1": NOW_MS + 5}
    shard.hold_until_ms = NOW_MS + HOUR_MS + settings.lease_ms
    shard.asking |= {"soon": NOW_MS + HOUR_MS, "later": NOW_MS + HOUR_MS + 50_000}
    monkeypatch.setattr(clock, "_moved_us", -HOUR_MS * 1000)

    beat = await store.beat("u0", "w", {})

    assert beat[:3] == (NOW_MS, settings.lease_ms, HOUR_MS)
    assert shard.leases == {"gone#1": NOW_MS + settings.lease_ms, "w#1": NOW_MS + 5}
    assert shard.asking == {"soon": NOW_MS, "later": NOW_MS + 50_000}
    assert {worker.name: worker.beat_ms for worker in await store.workers()} == {"silent": NOW_MS, "w": NOW_MS}
    assert (await store.beat("u0", "w", {}))[:3] == (NOW_MS, settings.lease_ms, 0)
