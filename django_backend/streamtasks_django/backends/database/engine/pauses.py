"""Pause and resume queues, tasks and everything: a claim leaves what is paused out of its query.

Messages of a paused task that have a rate limit wait for that, and are not admitted (`indexes.paused`).
"""

from __future__ import annotations

from typing import Any

from django.db.models import Max, Q

from streamtasks.stores.memory import steering
from streamtasks.stores.memory.limits import look_at
from streamtasks.stores.rules import phases
from streamtasks.stores.rules.rate_limits import LimitState
from streamtasks.stores.steering_types import Pause, queue_of, task_paused_by
from streamtasks.stores.types import Limit

from .shard import SqlShard

__all__ = ["listed", "pause", "resume"]


def pause(shard: SqlShard, queue: str, actor: str, reason: str, task: str = "") -> bool:
    """Let nothing more be claimed; see `SteeringStore.pause`."""
    known: Any = shard.paused
    known.load_all()  # how many there are counts
    is_new = steering.pause(shard, queue, actor, reason, task)
    if task:
        live: Any = shard.live
        admitted = Q(phase__in=[phases.QUEUED, phases.SUSPECT], task=task, skip_reason="") & ~Q(limit_name="")
        for message in live.select(live.rows.filter(admitted)):
            shard.give_token_up(message)
    return is_new


def resume(shard: SqlShard, queue: str, task: str = "") -> bool:
    """End a pause; see `SteeringStore.resume`."""
    was_paused = steering.resume(shard, queue, task)
    if was_paused:
        shard.wake("")
    if was_paused and task:
        _look_at_limits(shard, task)
    return was_paused


def _look_at_limits(shard: SqlShard, task: str) -> None:
    """Let limits for which messages of a task wait be looked at; one that nobody used meanwhile may be forgotten."""
    live: Any = shard.live
    rows = live.rows.filter(phase=phases.LIMITED, task=task).values("limit_name", "limit_us", "limit_burst")
    for row in rows.annotate(last=Max("wait_number")).order_by("last"):
        limit = Limit(row["limit_name"], row["limit_us"], row["limit_burst"])
        state = shard.limits.setdefault(limit.name, LimitState(limit))
        state.sequence = max(state.sequence, row["last"])
        look_at(shard, limit.name, shard.clock.now_us())
        shard.push("control", "limit")


def listed(shard: SqlShard) -> list[Pause]:
    """Return what is paused."""
    return sorted(Pause(queue_of(what), *about, task=task_paused_by(what)) for what, about in shard.paused.items())
