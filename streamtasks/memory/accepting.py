"""enqueue.lua and promote.lua: messages come in, and move to their streams when they may."""

from __future__ import annotations

from collections.abc import Sequence

from ..keys import stream_name
from ..transitions import NewMessage, Promotion
from .shard import Live, Shard

__all__ = ["accept", "enqueue", "promote"]


def enqueue(shard: Shard, messages: Sequence[NewMessage]) -> list[bool]:
    """Accept messages, each once by its id."""
    return [accept(shard, message) for message in messages]


def accept(shard: Shard, new: NewMessage) -> bool:
    """Accept one message; False: its id is known."""
    if new.id in shard.live or shard.record(new.id) is not None:
        return False
    now_ms = shard.now_ms()
    message = Live(new.id, b"%d %b" % (now_ms, new.envelope), stream_name(new.queue, new.priority))
    shard.live[new.id] = message
    due_ms = new.due_ms if new.due_ms is not None else now_ms + (new.delay_ms or 0)
    if due_ms > now_ms:
        message.phase = "D"
        shard.park(message, due_ms)
    else:
        shard.append(message)
    return True


def promote(shard: Shard) -> Promotion:
    """Move all due messages to their streams, earliest first."""
    now_ms = shard.now_ms()
    due = sorted((due_ms, task_id) for task_id, due_ms in shard.delayed.items() if due_ms <= now_ms)
    promoted = 0
    for _, task_id in due:
        del shard.delayed[task_id]
        message = shard.live.get(task_id)
        if message is None or message.phase != "D":
            continue
        # Who crashed twice may have been beside the culprit, or be it: it runs alone from now on.
        message.set_down("S" if message.crashes >= 2 else "Q")
        shard.append(message)
        promoted += 1
    next_ms = min(shard.delayed.values(), default=None)
    return Promotion(promoted, None if next_ms is None else max(1, next_ms - now_ms))
