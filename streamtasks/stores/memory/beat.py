"""Record signs of life of workers (beat.lua, workers.lua)."""

from __future__ import annotations

from typing import Any

from ..inspection_types import LISTENS, LISTENS_MS, WorkerInfo
from ..types import Heartbeat
from .shard import Shard

__all__ = ["beat", "workers"]


def beat(shard: Shard, worker: str, info: dict[str, Any] | None) -> Heartbeat:
    """Record that a worker lives, or leaves (``None``). After a silence of all workers, reclaim is held back."""
    now_ms, lease_ms = shard.now_ms(), shard.settings.lease_ms
    # The last claim or renewal counts as well: its lease began then.
    newest_ms = max((until for until in shard.leases.values() if until <= now_ms + lease_ms), default=0)
    if shard.last_beat_ms and now_ms - max(shard.last_beat_ms, newest_ms - lease_ms) > lease_ms / 2:
        shard.hold_until_ms = max(shard.hold_until_ms, now_ms + lease_ms)
    back_ms = max(0, shard.last_beat_ms - now_ms)
    if back_ms:
        _set_right(shard, now_ms, back_ms)
    shard.last_beat_ms = now_ms
    if info is not None and info.get(LISTENS):
        shard.listeners_until_ms = now_ms + LISTENS_MS
    shard.workers.pop(worker, None)
    if info is not None:
        shard.workers[worker] = (now_ms, info)
    silent_ms = now_ms - max(20 * lease_ms, 600_000)
    for name in [name for name, (beat_ms, _) in shard.workers.items() if beat_ms <= silent_ms]:
        del shard.workers[name]
    request = shard.worker_requests.pop(worker, "")
    return Heartbeat(now_ms, max(0, shard.hold_until_ms - now_ms), back_ms, request=request)


def _set_right(shard: Shard, now_ms: int, back_ms: int) -> None:
    """Bound stored times after the clock went back: no lease outlasts one from now on, nor does the hold."""
    latest_ms = now_ms + shard.settings.lease_ms
    shard.hold_until_ms = min(shard.hold_until_ms, latest_ms)
    for token, until_ms in shard.leases.items():
        shard.leases[token] = min(until_ms, latest_ms)
    for name, at_ms in shard.asking.items():
        shard.asking[name] = at_ms if at_ms <= now_ms else max(now_ms, at_ms - back_ms)
    for state in shard.workflows.values():
        state.late = {fan_in: at_ms - back_ms for fan_in, at_ms in state.late.items()}
    for name, (beat_ms, info) in shard.workers.items():
        shard.workers[name] = (min(beat_ms, now_ms), info)


def workers(shard: Shard) -> list[WorkerInfo]:
    """Return the workers that have given a sign of life lately."""
    now_ms = shard.now_ms()
    return [
        WorkerInfo(name, beat_ms, about, max(0, now_ms - beat_ms)) for name, (beat_ms, about) in shard.workers.items()
    ]
