"""Read what decides when a message is claimed (standing.lua)."""

from __future__ import annotations

from collections.abc import Iterable

from ..inspection_types import MOST_AHEAD, Standing
from ..rules import phases
from .shard import Shard
from .state import NOBODY, LiveMessage, entry_age, is_free

__all__ = ["MOST_BETTER", "standing", "standing_of"]

MOST_BETTER = 16
"""So many streams of a better priority are named."""


def standing(shard: Shard, task_id: str) -> Standing | None:
    """Return how a message stands; None: it is not unfinished."""
    message = shard.live.get(task_id)
    if message is None:
        return None
    priority = int(message.name.partition(":")[0])
    better = [name for name in shard.ready if int(name.partition(":")[0]) > priority]
    return standing_of(shard, message, _ahead(shard, message), better)


def standing_of(shard: Shard, message: LiveMessage, ahead: int, better: Iterable[str]) -> Standing:
    """Return how a message stands.

    Args:
        shard: its shard.
        message: an unfinished one.
        ahead: how many come before it in its stream.
        better: names of streams of a better priority in which there is something to claim.
    """
    limit = message.limit
    is_limited = limit is not None and message.phase == phases.LIMITED
    waiting = shard.waiting.get(limit.name, {}) if is_limited and limit is not None else {}
    place = waiting.get(message.id)
    return Standing(
        now_ms=shard.now_ms(),
        phase=message.phase,
        stream=message.name,
        token=message.token,
        lease_ms=shard.leases.get(message.token, 0) if message.token else 0,
        crashes=message.crashes,
        lost=message.lost,
        skip_reason="revoked" if message.skip_reason == "terminate" else message.skip_reason,
        limit="" if limit is None else limit.name,
        limit_us=0 if limit is None else limit.interval_us,
        limit_ms=shard.asking.get(limit.name, 0) if limit is not None else 0,
        limit_ahead=min(MOST_AHEAD, sum(one < place for one in waiting.values())) if place else 0,
        ahead=min(MOST_AHEAD, ahead),
        better=tuple(sorted(better, key=lambda name: (-int(name.partition(":")[0]), name))[:MOST_BETTER]),
        last_beat_ms=shard.last_beat_ms,
        hold_until_ms=shard.hold_until_ms,
    )


def _ahead(shard: Shard, message: LiveMessage) -> int:
    stream = shard.streams.get(message.name)
    if stream is None or message.phase not in (phases.QUEUED, phases.SUSPECT):
        return 0
    own = next((entry for entry, task_id in stream.entries.items() if task_id == message.id), None)
    if own is None:
        return 0
    free = [entry for entry in stream.entries if is_free(stream.owners.get(entry, NOBODY))]
    return sum(entry_age(entry) < entry_age(own) for entry in free)
