"""promote.lua: delayed messages that are due go on."""

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
    due = sorted((due_ms, task_id) for task_id, due_ms in shard.delayed.items() if due_ms <= now_ms)
    promoted = 0
    for _, task_id in due:
        del shard.delayed[task_id]
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
    next_ms = min(shard.delayed.values(), default=None)
    return Promotion(promoted, None if next_ms is None else max(1, next_ms - now_ms))
