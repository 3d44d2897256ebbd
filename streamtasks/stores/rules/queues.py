"""Rules of queues: their priorities, and when one can be forgotten."""

from __future__ import annotations

from typing import Final

from ...exceptions import QueueNotEmpty

__all__ = ["PRIORITIES", "not_empty"]

PRIORITIES: Final = range(-100, 101)
"""Priorities that the streams of a queue may have."""


def not_empty(queue: str, messages: int, held: int) -> QueueNotEmpty:
    """Return the error of a queue that cannot be forgotten yet; ``held``: how many messages workers hold."""
    verb = "message is" if messages == 1 else "messages are"
    return QueueNotEmpty(
        f"{messages} {verb} in queue {queue!r}, {held} of them held by workers. Let a worker finish them "
        f"(streamtasks-worker --queues {queue}) or revoke them, and call forget_queue({queue!r}) again.",
        messages,
    )
