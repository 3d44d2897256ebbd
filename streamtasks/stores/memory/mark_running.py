"""Record starts of attempts (mark_running.lua)."""

from __future__ import annotations

from collections.abc import Sequence

from ..rules import phases
from ..types import Claimed
from .shard import Shard
from .state import LiveMessage

__all__ = ["mark_running", "note_start"]


def mark_running(shard: Shard, attempts: Sequence[tuple[Claimed, int]]) -> list[bool]:
    """Record starts of attempts: (claimed, ms since it started)."""
    answers: list[bool] = []
    for claimed, ago_ms in attempts:
        message = shard.held(claimed.id, claimed.token)
        answers.append(message is not None)
        if message is not None:
            if message.phase == phases.CLAIMED:  # of one that was revoked meanwhile only the time is noted
                message.phase = phases.RUNNING
            message.started_ms = shard.now_ms() - ago_ms
            message.first_ms = message.first_ms or message.started_ms
            note_start(shard, message)
    return answers


def note_start(shard: Shard, message: LiveMessage) -> None:
    """Push to watchers that an attempt runs."""
    shard.note("started", message.id, message.token.rpartition("#")[0])
    shard.push("news", message.id)
