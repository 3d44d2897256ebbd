"""Read what the scripts stored of one message: its final record, or its live parts."""

from __future__ import annotations

from typing import Any

from ...exceptions import DecodeError
from ...protocol.json import loads
from ...protocol.message import split_body
from ...protocol.reports import open_reports
from ...protocol.state import Snapshot, State
from ...protocol.wire import JSON, Wire
from ..rules import phases

__all__ = ["from_reply"]


def from_reply(task_id: str, reply: list[Any], wire: Wire = JSON) -> Snapshot | None:
    """Turn the part of read.lua's reply that concerns one id into a `Snapshot`; None if nothing is known.

    Raises:
        DecodeError: what is stored is not ours, or of a later release.
    """
    if not reply:
        return None
    try:
        snapshot = _finished(task_id, *reply) if len(reply) <= 2 else _live(task_id, reply)
    except (ValueError, IndexError) as error:
        raise DecodeError(f"what is stored of task {task_id} cannot be read: {error}") from error
    snapshot.wire = wire
    if snapshot.reports:
        open_reports(snapshot.reports, wire, task_id)
    return snapshot


def _reports(lines: bytes) -> list[dict[str, Any]]:
    return [loads(line) for line in lines.splitlines()]


def _finished(task_id: str, record: bytes, result: bytes | None = None) -> Snapshot:
    """Read a record; ``result``: what its workflow keeps for it."""
    head, _, rest = record.partition(b"\n")
    version, finished, state, token, first, started, attempt, body_size, result_size = head.split(b" ")
    if version != b"1":
        raise DecodeError(f"the record of task {task_id} has version {version!r}; this release knows 1")
    body_end = int(body_size)
    result_end = body_end + (int(result_size) if result is None else 0)
    enqueued_ms, envelope = split_body(rest[:body_end])
    return Snapshot(
        id=task_id,
        state=State(state.decode()),
        envelope=envelope,
        enqueued_ms=enqueued_ms,
        attempts=int(attempt),
        first_started_ms=int(first),
        started_ms=int(started),
        finished_ms=int(finished),
        worker=token.decode().rpartition("#")[0],
        reports=_reports(rest[result_end:]),
        result=rest[body_end:result_end] if result is None else result,
    )


def _live(task_id: str, reply: list[Any]) -> Snapshot:
    body, line, history, progress, due = reply
    enqueued_ms, envelope = split_body(body)
    snapshot = Snapshot(
        id=task_id,
        state=State.QUEUED,
        envelope=envelope,
        enqueued_ms=enqueued_ms,
        reports=_reports(history),
        due_ms=int(float(due)) if due else 0,
    )
    if not line:
        return snapshot
    token, phase, _, _, attempts, _, _, first, started, settled, *marks = line.decode().split(" ")
    mark = {word[0]: word[2:] for word in marks if word}
    started_ms = int(started)
    snapshot.attempts = phases.attempts_made(phase, started_ms, int(attempts))
    snapshot.first_started_ms = int(first)
    snapshot.started_ms = started_ms
    snapshot.state = phases.visible_state(
        phase, started_ms, has_progress=bool(progress), has_retried=settled != "-" and snapshot.attempts > 0
    )
    if phases.is_running(phase, started_ms):
        snapshot.progress = progress
        snapshot.worker = token.rpartition("#")[0]
    elif phase == phases.BLOCKED:
        snapshot.waits_for = mark.get("a", "")
        snapshot.due_ms = int(mark.get("d", 0))
    elif phase == phases.LIMITED:
        snapshot.waits_for = mark.get("l", "").rpartition(",")[2]
    return snapshot
