"""revoke.lua, revocations.lua and delete_finished.lua: messages end by another's will, and records by a clean-up."""

from __future__ import annotations

from collections.abc import Sequence

from ...settings import StoreSettings
from ..types import Claimed, Revocation
from .enqueue import KNOWN_MS, call_back, free_children, is_callback
from .limits import stop_waiting
from .settle import finish
from .shard import HELD, Record, Shard
from .workflows import node_ended

__all__ = ["delete_finished", "delete_result", "end_revoked_before", "revocations", "revoke"]


def revoke(shard: Shard, task_id: str, settings: StoreSettings, *, terminate: bool) -> Revocation:
    """End a message before it finishes; if somebody holds it, its outcome will be REVOKED whatever it does."""
    now_ms = shard.now_ms()
    until_ms = now_ms + settings.keep_ms(success=False)
    if is_callback(task_id):
        return Revocation.FINISHED
    record = shard.record(task_id)
    if record is not None and record.state:
        return Revocation.GONE if record.state == "REVOKED" and not record.token else Revocation.FINISHED
    message = shard.live.get(task_id)
    if message is None:
        shard.keep(task_id, Record("", "", now_ms, until_ms))
        return Revocation.UNKNOWN
    if message.phase in HELD:
        message.phase = "X"
        message.skip_reason = "terminate" if terminate or message.skip_reason == "terminate" else "revoked"
        shard.note("revoked", task_id, "terminate" if terminate else "wait")
        shard.tell("control", f"revoke {task_id} {int(terminate)}")
        return Revocation.MARKED
    # It waits somewhere: whatever it is in finds nothing under its id.
    shard.delayed.pop(task_id, None)
    stop_waiting(shard, message)
    record = Record("REVOKED", "", now_ms, until_ms, message.first_ms, attempts=message.attempts)
    record.body, record.history = message.body, message.history
    finish(shard, message, record)
    call_back(shard, message)
    free_children(shard, task_id, succeeded=False)
    if message.then:
        node_ended(shard, message, "REVOKED", b"", until_ms - now_ms)
    return Revocation.GONE


def end_revoked_before(shard: Shard, task_id: str, settings: StoreSettings) -> None:
    """End a new message that was revoked before it was enqueued."""
    message = shard.live.get(task_id)
    if message is not None and message.skip_reason == "revoked" and message.phase == "Q":
        revoke(shard, task_id, settings, terminate=False)


def revocations(shard: Shard, claimed: Sequence[Claimed]) -> list[str]:
    """Tell which of these were revoked while they are held, and how."""
    answers: list[str] = []
    for one in claimed:
        message = shard.held(one.id, one.token)
        answers.append(message.skip_reason if message is not None and message.phase == "X" else "")
    return answers


def delete_finished(shard: Shard, before_ms: int) -> int:
    """Forget records of what finished before a time; the ids of the youngest stay known."""
    old = [
        task_id
        for task_id in list(shard.records)
        if (record := _whole(shard, task_id)) is not None and record.finished_ms < before_ms
    ]
    for task_id in old:
        _forget(shard, task_id)
    return len(old)


def delete_result(shard: Shard, task_id: str) -> bool:
    """Forget one record."""
    if _whole(shard, task_id) is None:
        return False
    _forget(shard, task_id)
    return True


def _whole(shard: Shard, task_id: str) -> Record | None:
    record = shard.record(task_id)
    return record if record is not None and record.state and not record.forgotten else None


def _forget(shard: Shard, task_id: str) -> None:
    record = shard.records[task_id]
    known_until_ms = record.finished_ms + KNOWN_MS
    if known_until_ms > shard.now_ms():
        record.forgotten, record.expires_ms = True, known_until_ms
        record.body = record.result = record.history = b""
    else:
        del shard.records[task_id]
