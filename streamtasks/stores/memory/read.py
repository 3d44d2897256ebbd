"""Read tasks, running attempts and counts (read.lua, active.lua, statistics.lua)."""

from __future__ import annotations

from typing import Any

from ...protocol.json import loads
from ...protocol.message import split_body
from ...protocol.state import Snapshot, State
from ..inspection_types import Active, Statistics
from ..rules import phases
from .shard import Shard
from .state import LiveMessage, Record

__all__ = ["active", "finished_snapshot", "read", "statistics"]


def read(shard: Shard, task_id: str) -> Snapshot | None:
    """Return a snapshot of a task; None if its id is not known."""
    record = shard.record(task_id)
    if record is not None and record.state:
        return None if record.deleted else finished_snapshot(task_id, record)
    message = shard.live.get(task_id)
    return None if message is None else _live(shard, message)


def _reports(lines: bytes) -> list[dict[str, Any]]:
    return [loads(line) for line in lines.splitlines()]


def finished_snapshot(task_id: str, record: Record) -> Snapshot:
    """Return the snapshot of a finished message."""
    enqueued_ms, envelope = split_body(record.body)
    return Snapshot(
        id=task_id,
        state=State(record.state),
        envelope=envelope,
        enqueued_ms=enqueued_ms,
        attempts=record.attempts,
        first_started_ms=record.first_ms,
        started_ms=record.started_ms,
        finished_ms=record.finished_ms,
        worker=record.token.rpartition("#")[0],
        reports=_reports(record.history),
        result=record.result,
    )


def _live(shard: Shard, message: LiveMessage) -> Snapshot:
    enqueued_ms, envelope = split_body(message.body)
    runs = message.is_running
    limit = "" if message.limit is None else message.limit.name
    waits_for = {phases.BLOCKED: message.after, phases.LIMITED: limit}
    return Snapshot(
        id=message.id,
        state=phases.visible_state(
            message.phase,
            message.started_ms,
            has_progress=bool(message.progress),
            has_retried=bool(message.settled)
            and phases.attempts_made(message.phase, message.started_ms, message.attempts) > 0,
        ),
        envelope=envelope,
        enqueued_ms=enqueued_ms,
        attempts=phases.attempts_made(message.phase, message.started_ms, message.attempts),
        first_started_ms=message.first_ms,
        started_ms=message.started_ms,
        due_ms=message.after_due_ms or shard.delayed.due_ms(message.id),
        worker=message.token.rpartition("#")[0] if runs else "",
        reports=_reports(message.history),
        progress=message.progress if runs else b"",
        waits_for=waits_for.get(message.phase, ""),
    )


def active(shard: Shard) -> list[Active]:
    """Return running attempts, the longest first."""
    running = [message for message in shard.live.values() if message.is_running]
    running.sort(key=lambda message: (message.started_ms, message.id))
    return [Active(m.id, m.started_ms, m.token.rpartition("#")[0], m.body) for m in running]


def statistics(shard: Shard) -> Statistics:
    """Return counts since the store was first used."""
    outcomes = {word: count for word, count in shard.totals.items() if word != "ms"}
    running = sum(message.is_running for message in shard.live.values())
    return Statistics(len(shard.live), running, len(shard.delayed), outcomes, shard.totals["ms"])
