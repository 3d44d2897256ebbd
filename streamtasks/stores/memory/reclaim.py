"""Reclaim expired claims of workers that vanished; their messages become suspects (reclaim.lua)."""

from __future__ import annotations

from ...protocol.json import dumps
from ..rules import phases
from ..rules.attempts import is_exhausted
from ..rules.history import with_report
from ..types import Exhausted, Reclaim
from .limits import wait_again
from .shard import Shard
from .state import LiveMessage

__all__ = ["reclaim"]


def reclaim(shard: Shard) -> Reclaim:
    """Reclaim expired claims."""
    now_ms, settings = shard.now_ms(), shard.settings
    # A silence that no beat has noticed yet counts as well.
    if now_ms < shard.hold_until_ms or now_ms - shard.last_beat_ms > settings.lease_ms / 2:
        return Reclaim(0, [])
    reclaimed = 0
    exhausted: list[Exhausted] = []
    expired = sorted((until_ms, token) for token, until_ms in shard.leases.items() if until_ms <= now_ms)
    for _, token in expired:
        before = len(exhausted)
        for message in shard.held_in(token):
            if is_exhausted(message.phase, message.started_ms, message.lost, settings.lost_limit):
                exhausted.append(_exhausted(message))
            else:
                _take_over(shard, message)
                reclaimed += 1
        if len(exhausted) > before:
            shard.leases[token] = now_ms + settings.lease_ms  # until the caller has settled, or asks again
        else:
            shard.leases.pop(token, None)
            shard.batches.pop(token, None)
    if reclaimed:
        shard.totals["RECLAIMED"] += reclaimed
    return Reclaim(reclaimed, exhausted)


def _exhausted(message: LiveMessage) -> Exhausted:
    return Exhausted(
        message.id,
        message.token,
        message.name,
        message.entry,
        message.attempts,
        message.started_ms,
        message.first_ms,
    )


def _take_over(shard: Shard, message: LiveMessage) -> None:
    if message.is_running:
        message.lost += 1
        worker = message.token.rpartition("#")[0]
        report = {"kind": "LOST", "attempt": message.attempts, "worker": worker, "started": message.started_ms}
        message.history = with_report(message.history, dumps(report))
    else:
        message.attempts -= 1
    limit = None if message.phase == phases.REVOKED else message.active_limit
    if limit is not None:
        message.suspect = True
        wait_again(shard, message, limit)
    else:
        shard.put_back(message, suspect=True)
