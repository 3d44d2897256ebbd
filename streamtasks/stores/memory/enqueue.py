"""enqueue.lua and promote.lua: messages come in, and move to their streams when they may."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from ...protocol.json import dumps
from ...protocol.keys import stream_name
from ..types import NewMessage, Promotion
from .limits import limit_of, renew, wait
from .shard import Live, Shard

__all__ = ["KNOWN_MS", "accept", "call_back", "enqueue", "free_children", "is_callback", "promote"]

KNOWN_MS: Final = 900_000
"""The id of what is finished stays known for at least this long."""

_CALLBACK: Final = re.compile(r"cb\.[0-9a-f]{40}")


def enqueue(shard: Shard, messages: Sequence[NewMessage]) -> list[bool]:
    """Accept messages, each once by its id."""
    answers = [accept(shard, message) for message in messages]
    for message, is_new in zip(messages, answers, strict=True):
        if is_new:
            shard.note("accepted", message.id, stream_name(message.queue, message.priority))
    return answers


def accept(shard: Shard, new: NewMessage) -> bool:
    """Accept one message; False: its id is known. One that was revoked before it came is queued at once."""
    now_ms = shard.now_ms()
    record = shard.record(new.id)
    if new.id in shard.live or (record is not None and record.state):
        return False
    message = Live(
        new.id,
        b"%d %b" % (now_ms, new.envelope),
        stream_name(new.queue, new.priority),
        limit=new.limit,
        expires_ms=new.expires_ms,
    )
    shard.accepted(new)
    shard.live[new.id] = message
    if record is not None:
        del shard.records[new.id]
        message.skip_reason = "revoked"
        shard.append(message)
        return True
    due_ms = new.due_ms if new.due_ms is not None else now_ms + (new.delay_ms or 0)
    _place(shard, message, new, due_ms)
    return True


def _place(shard: Shard, message: Live, new: NewMessage, due_ms: int) -> None:
    """Put a new message where its terms send it."""
    if new.after:
        parent = shard.record(new.after)
        if parent is None and new.after in shard.live and new.after != new.id:
            message.phase, message.after = "B", new.after
            message.after_due_ms = due_ms if due_ms > shard.now_ms() else 0
            shard.children_of.setdefault(new.after, []).append(new.id)
            return
        if parent is None or parent.state not in ("SUCCESS", "IGNORED"):
            message.skip_reason, due_ms = f"parent:{new.after}", 0  # whoever claims it lets it fail
    limit = limit_of(message)
    if due_ms > shard.now_ms():
        message.phase = "D"
        shard.park(message, due_ms)
        if limit is not None:
            renew(shard, limit)
    elif limit is not None:
        wait(shard, message, limit, new=True)
    else:
        shard.append(message)


def free_children(shard: Shard, task_id: str, *, succeeded: bool) -> None:
    """Let those go on that waited for a finished task; if it has not succeeded, only to fail with it."""
    now_ms = shard.now_ms()
    for child_id in shard.children_of.pop(task_id, ()):
        child = shard.live.get(child_id)
        if child is None or child.phase != "B" or child.after != task_id:
            continue
        due_ms = max(now_ms, child.after_due_ms) if succeeded else now_ms
        child.after, child.after_due_ms, child.phase = "", 0, "D"
        if not succeeded:
            child.skip_reason = f"parent:{task_id}"
        shard.park(child, due_ms)


def call_back(shard: Shard, message: Live, attempt: int = 0) -> None:
    """Have some child do what belongs to an outcome that none has seen; no such message for such a message.

    ``attempt``: of that one, after which the message runs again; 0: of the message's end.
    """
    if is_callback(message.id):
        return
    what = f"{message.id} {attempt}" if attempt else message.id
    callback_id = "cb." + hashlib.sha1(what.encode(), usedforsecurity=False).hexdigest()
    if callback_id in shard.live:
        return
    priority, _, queue = message.name.partition(":")
    args = [message.id, attempt] if attempt else [message.id]
    envelope = {"v": 1, "id": callback_id, "t": "streamtasks.callback", "a": args, "k": {}, "q": queue}
    body = b"%d %b" % (shard.now_ms(), dumps({**envelope, "p": int(priority)}))
    shard.live[callback_id] = Live(callback_id, body, message.name)
    shard.append(shard.live[callback_id])


def is_callback(task_id: str) -> bool:
    """Whether this is the id of a callback message."""
    return _CALLBACK.fullmatch(task_id) is not None


def promote(shard: Shard) -> Promotion:
    """Move all due messages to their streams, earliest first."""
    now_ms = shard.now_ms()
    due = sorted((due_ms, task_id) for task_id, due_ms in shard.delayed.items() if due_ms <= now_ms)
    promoted = 0
    for _, task_id in due:
        del shard.delayed[task_id]
        message = shard.live.get(task_id)
        if message is None or message.phase != "D":
            continue
        promoted += 1
        # Who crashed twice may have been beside the culprit, or be it: it runs alone from now on.
        suspect, limit = message.crashes >= 2, limit_of(message)
        if limit is None:
            message.set_down("S" if suspect else "Q")
            shard.append(message)
        else:
            message.suspect = message.suspect or suspect
            wait(shard, message, limit)
    next_ms = min(shard.delayed.values(), default=None)
    return Promotion(promoted, None if next_ms is None else max(1, next_ms - now_ms))
