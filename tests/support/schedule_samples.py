"""Schedules for tests, and their occurrences: opaque to every store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamtasks.protocol.message import Message
from streamtasks.protocol.shards import occurrence_id
from streamtasks.stores.schedule_store import DueSchedule, Firing, NewSchedule
from streamtasks.stores.types import NewMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

PAST_MS = 1_000_000_000_000
FAR_MS = 4_000_000_000_000


def schedule(name: str = "tick", next_ms: int | None = PAST_MS, definition: bytes = b"{}", **more: Any) -> NewSchedule:
    """A schedule that has been due for a long time."""
    return NewSchedule(name, definition, more.pop("rule", "each hour"), next_ms, **more)


def declared(name: str, since_ms: int = 1, label: str = "shop", **more: Any) -> NewSchedule:
    """A schedule that an app's code declares."""
    return schedule(name, declared=label, since_ms=since_ms, **more)


def occurrence(name: str, at_ms: int, tag: str = "u0", queue: str = "default", **more: Any) -> NewMessage:
    """The message of one occurrence."""
    message = Message(id=occurrence_id(name, at_ms, tag), task="t", args=[at_ms], queue=queue)
    return NewMessage(message.id, queue, 0, message.encode(1 << 20), **more)


def firing(due: DueSchedule, next_ms: int | None = FAR_MS, times: Sequence[int] | None = None, **more: Any) -> Firing:
    """The firing of a due schedule: by default its due occurrence."""
    times = (due.next_ms,) if times is None else times
    tag = more.pop("tag", "u0")
    messages = more.pop("messages", [occurrence(due.name, at_ms, tag) for at_ms in times])
    return Firing(due.name, due.revision, due.next_ms, next_ms, messages, **{"last_ms": max(times, default=0)} | more)
