"""Revoke tasks (revoke.lua, revocations.lua)."""

from __future__ import annotations

from collections.abc import Sequence

from ...protocol.callback_message import is_callback
from ...protocol.shards import node_id, node_of
from ..rules import phases
from ..types import Claimed, Revocation
from .enqueue import call_back, free_children
from .limits import stop_waiting
from .shard import Shard
from .state import Record
from .workflows import known, node_ended, remember_revoked

__all__ = ["end_revoked_before", "revocations", "revoke"]


def revoke(shard: Shard, task_id: str, *, terminate: bool = False) -> Revocation:
    """End a message before it finishes; if a worker holds it, its outcome will be REVOKED whatever the attempt does."""
    now_ms = shard.now_ms()
    until_ms = now_ms + shard.settings.keep_ms(success=False)
    if is_callback(task_id):
        return Revocation.FINISHED
    record = shard.record(task_id)
    if record is not None and record.state:
        return Revocation.GONE if record.state == "REVOKED" and not record.token else Revocation.FINISHED
    message = shard.live.get(task_id)
    if message is None:
        shard.keep(task_id, Record("", "", now_ms, until_ms))
        node = node_of(task_id)
        if node is not None and node_id(*node) == task_id and known(shard, node[0]) is None:
            remember_revoked(shard, node[0], f"n{node[1]}!" if terminate else f"n{node[1]}")
        return Revocation.UNKNOWN
    if message.phase in phases.HELD:
        message.phase = phases.REVOKED
        message.skip_reason = "terminate" if terminate or message.skip_reason == "terminate" else "revoked"
        shard.note("revoked", task_id, "terminate" if terminate else "wait")
        shard.push("control", f"revoke {task_id} {int(terminate)}")
        return Revocation.MARKED
    # It waits somewhere, where nothing will be found under its id.
    shard.delayed.discard(task_id)
    stop_waiting(shard, message)
    record = Record("REVOKED", "", now_ms, until_ms, message.first_ms, attempts=message.attempts)
    record.body, record.history = message.body, message.history
    shard.finish(message, record)
    call_back(shard, message, "REVOKED")
    free_children(shard, task_id, succeeded=False)
    if message.then:
        node_ended(shard, message, "REVOKED", b"", until_ms - now_ms)
    return Revocation.GONE


def end_revoked_before(shard: Shard, task_id: str) -> None:
    """End a new message that was revoked before it was enqueued."""
    message = shard.live.get(task_id)
    if message is not None and message.skip_reason == "revoked" and message.phase == phases.QUEUED:
        revoke(shard, task_id)


def revocations(shard: Shard, claimed: Sequence[Claimed]) -> list[str]:
    """Return of each whether it was revoked while it is held, and how; see `SupervisorStore.revocations`."""
    answers: list[str] = []
    for one in claimed:
        message = shard.held(one.id, one.token)
        answers.append(message.skip_reason if message is not None and message.phase == phases.REVOKED else "")
    return answers
