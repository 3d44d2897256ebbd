"""Accept messages, each once by its id (enqueue.lua, include/accept.lua)."""

from __future__ import annotations

from collections.abc import Sequence

from ...protocol.callback_message import CALLBACK, callback_id, is_callback
from ...protocol.heard import EVERYTHING, FAILURES
from ...protocol.json import dumps
from ...protocol.keys import stream_name
from ..rules import phases
from ..rules.fan_in import SUCCEEDED
from ..types import NewMessage
from .limits import place, update_rate
from .shard import Shard
from .state import LiveMessage

__all__ = ["accept", "call_back", "enqueue", "free_children"]


def enqueue(shard: Shard, messages: Sequence[NewMessage]) -> list[bool]:
    """Accept messages, each once by its id."""
    return [accept(shard, message) for message in messages]


def accept(shard: Shard, new: NewMessage) -> bool:
    """Accept one message; False: its id is known. One that was revoked before it came is queued at once."""
    now_ms = shard.now_ms()
    record = shard.record(new.id)
    if new.id in shard.live or (record is not None and record.state):
        return False
    name = stream_name(new.queue, new.priority)
    body = b"%d %b" % (now_ms, new.envelope)
    expires_ms = now_ms + new.expires_in_ms if new.expires_in_ms else new.expires_ms
    message = LiveMessage(new.id, body, name, limit=new.limit, expires_ms=expires_ms, hears=new.hears)
    shard.accepted(new)
    shard.live[new.id] = message
    if record is not None:
        del shard.records[new.id]
        message.skip_reason = "revoked"
        shard.append(message)
    else:
        due_ms = new.due_ms if new.due_ms is not None else now_ms + (new.delay_ms or 0)
        _place_new(shard, message, new, due_ms)
    shard.note("accepted", new.id, name)
    return True


def _place_new(shard: Shard, message: LiveMessage, new: NewMessage, due_ms: int) -> None:
    """Place a new message: in its stream, its limit, `delayed`, or behind the task it follows."""
    if new.after:
        parent = shard.record(new.after)
        if parent is None and new.after in shard.live and new.after != new.id:
            message.phase, message.after = phases.BLOCKED, new.after
            message.after_due_ms = due_ms if due_ms > shard.now_ms() else 0
            shard.children_of.setdefault(new.after, []).append(new.id)
            return
        if parent is None or parent.state not in SUCCEEDED:
            message.skip_reason, due_ms = f"parent:{new.after}", 0  # the child that claims it lets it fail
    if due_ms > shard.now_ms():
        shard.park(message, due_ms)
        if message.active_limit is not None:
            update_rate(shard, message.active_limit)
    else:
        place(shard, message, new=True)


def free_children(shard: Shard, task_id: str, *, succeeded: bool) -> None:
    """Let the messages go on that waited for a finished task; if it has not succeeded, only to fail with it."""
    now_ms = shard.now_ms()
    for child_id in shard.children_of.pop(task_id, ()):
        child = shard.live.get(child_id)
        if child is None or child.phase != phases.BLOCKED or child.after != task_id:
            continue
        due_ms = max(now_ms, child.after_due_ms) if succeeded else now_ms
        child.after, child.after_due_ms = "", 0
        if not succeeded:
            child.skip_reason = f"parent:{task_id}"
        shard.park(child, due_ms)


def call_back(shard: Shard, message: LiveMessage, outcome: str, attempt: int = 0) -> None:
    """Send the callback message of an outcome that no child has seen; a callback message itself gets none.

    None is sent if nothing hears of it. ``attempt``: of that one, after which the message runs again; 0: of the
    message's end.
    """
    if is_callback(message.id) or not _is_heard(shard, message.hears, outcome):
        return
    call_id = callback_id(message.id, attempt)
    if call_id in shard.live:
        return
    priority, _, queue = message.name.partition(":")
    args = [message.id, attempt] if attempt else [message.id]
    envelope = {"v": 1, "id": call_id, "t": CALLBACK, "a": args, "k": {}, "q": queue}
    body = b"%d %b" % (shard.now_ms(), dumps({**envelope, "p": int(priority)}))
    shard.live[call_id] = LiveMessage(call_id, body, message.name)
    shard.append(shard.live[call_id])


def _is_heard(shard: Shard, hears: str, outcome: str) -> bool:
    if hears == EVERYTHING or (hears == FAILURES and outcome != "REVOKED"):
        return True
    return shard.listeners_until_ms > shard.now_ms()
