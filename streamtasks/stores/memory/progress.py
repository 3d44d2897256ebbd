"""Store progress of running attempts (progress.lua)."""

from __future__ import annotations

from collections.abc import Sequence

from ..types import Claimed
from .shard import Shard

__all__ = ["progress"]


def progress(shard: Shard, reports: Sequence[tuple[Claimed, bytes]]) -> list[bool]:
    """Store progress reports of running attempts; the last one counts."""
    answers: list[bool] = []
    for claimed, data in reports:
        message = shard.held(claimed.id, claimed.token)
        answers.append(message is not None)
        if message is not None:
            message.progress = data
            shard.push("news", message.id)
    return answers
