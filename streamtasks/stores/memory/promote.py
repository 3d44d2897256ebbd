"""Promote delayed messages that are due (promote.lua)."""

from __future__ import annotations

from ..rules import phases
from ..rules.attempts import must_run_alone
from ..types import Promotion
from .limits import wait
from .shard import Shard

__all__ = ["promote"]


def promote(shard: Shard) -> Promotion:
    """Move all due messages to their streams, or to their limits, earliest first."""
    now_ms = shard.now_ms()
    promoted = 0
    for task_id in shard.delayed.take_due(now_ms):
        message = shard.live.get(task_id)
        if message is None or message.phase != phases.DELAYED:
            continue
        promoted += 1
        suspect, limit = must_run_alone(message.crashes), message.active_limit
        if limit is None:
            message.leave(phases.SUSPECT if suspect else phases.QUEUED)
            shard.append(message)
        else:
            message.suspect = message.suspect or suspect
            wait(shard, message, limit)
    first = shard.delayed.first()
    return Promotion(promoted, None if first is None else max(1, first[0] - now_ms) * 1000)
