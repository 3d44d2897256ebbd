"""mark_running.lua, progress.lua, renew.lua and beat.lua: signs of life."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...settings import StoreSettings
from ..types import Claimed, Heartbeat, WorkerInfo
from .shard import Live, Shard

__all__ = ["beat", "mark_running", "note_start", "progress", "renew", "workers"]


def mark_running(shard: Shard, attempts: Sequence[tuple[Claimed, int]]) -> list[bool]:
    """Make the start of attempts visible: (claimed, ms since it started)."""
    answers: list[bool] = []
    for claimed, ago_ms in attempts:
        message = shard.held(claimed.id, claimed.token)
        answers.append(message is not None)
        if message is not None:
            if message.phase == "C":  # one that was revoked meanwhile only gets its time
                message.phase = "R"
            message.started_ms = shard.now_ms() - ago_ms
            message.first_ms = message.first_ms or message.started_ms
            note_start(shard, message)
    return answers


def note_start(shard: Shard, message: Live) -> None:
    """Tell those who watch that an attempt runs."""
    shard.note("started", message.id, message.token.rpartition("#")[0])
    shard.tell("news", message.id)


def progress(shard: Shard, reports: Sequence[tuple[Claimed, bytes]]) -> list[bool]:
    """Keep what running attempts say of their progress; the last word wins."""
    answers: list[bool] = []
    for claimed, data in reports:
        message = shard.held(claimed.id, claimed.token)
        answers.append(message is not None)
        if message is not None:
            message.progress = data
            shard.tell("news", message.id)
    return answers


def renew(shard: Shard, tokens: Sequence[str], settings: StoreSettings) -> list[bool]:
    """Extend the leases of claims."""
    answers = [token in shard.leases for token in tokens]
    until_ms = shard.now_ms() + settings.lease_ms
    shard.leases.update((token, until_ms) for token in tokens if token in shard.leases)
    return answers


def beat(shard: Shard, worker: str, about: dict[str, Any] | None, settings: StoreSettings) -> Heartbeat:
    """Note that a worker lives, ``None``: that it leaves. A silence of all workers holds reclaim back."""
    now_ms, lease_ms = shard.now_ms(), settings.lease_ms
    if shard.last_beat_ms and now_ms - shard.last_beat_ms > lease_ms / 2:
        shard.hold_until_ms = max(shard.hold_until_ms, now_ms + lease_ms)
    shard.last_beat_ms = now_ms
    shard.workers.pop(worker, None)
    if about is not None:
        shard.workers[worker] = (now_ms, about)
    silent_ms = now_ms - max(20 * lease_ms, 600_000)
    for name in [name for name, (beat_ms, _) in shard.workers.items() if beat_ms <= silent_ms]:
        del shard.workers[name]
    return Heartbeat(now_ms, max(0, shard.hold_until_ms - now_ms))


def workers(shard: Shard) -> list[WorkerInfo]:
    """Return the workers that have given a sign of life lately."""
    return [WorkerInfo(name, beat_ms, about) for name, (beat_ms, about) in shard.workers.items()]
