"""beat.lua and workers.lua: workers show that they live."""

from __future__ import annotations

from typing import Any

from ..types import Heartbeat, WorkerInfo
from .shard import Shard

__all__ = ["beat", "workers"]


def beat(shard: Shard, worker: str, info: dict[str, Any] | None) -> Heartbeat:
    """Note that a worker lives, ``None``: that it leaves. A silence of all workers holds reclaim back."""
    now_ms, lease_ms = shard.now_ms(), shard.settings.lease_ms
    if shard.last_beat_ms and now_ms - shard.last_beat_ms > lease_ms / 2:
        shard.hold_until_ms = max(shard.hold_until_ms, now_ms + lease_ms)
    shard.last_beat_ms = now_ms
    shard.workers.pop(worker, None)
    if info is not None:
        shard.workers[worker] = (now_ms, info)
    silent_ms = now_ms - max(20 * lease_ms, 600_000)
    for name in [name for name, (beat_ms, _) in shard.workers.items() if beat_ms <= silent_ms]:
        del shard.workers[name]
    return Heartbeat(now_ms, max(0, shard.hold_until_ms - now_ms))


def workers(shard: Shard) -> list[WorkerInfo]:
    """Return the workers that have given a sign of life lately."""
    return [WorkerInfo(name, beat_ms, about) for name, (beat_ms, about) in shard.workers.items()]
