"""Messages for a store without an app, and how they are."""

from __future__ import annotations

from typing import Any

from streamtasks.protocol.message import Message
from streamtasks.protocol.state import State
from streamtasks.stores.types import NewMessage

__all__ = ["new", "state_of"]


def new(task_id: str, queue: str = "default", priority: int = 0, **options: Any) -> NewMessage:
    """Return a message with an id as its argument. ``options``: of `NewMessage`."""
    message = Message(id=task_id, task="t", args=[task_id], queue=queue, priority=priority)
    return NewMessage(task_id, queue, priority, message.encode(1 << 20), **options)


def state_of(store: Any, task_id: str) -> State | None:
    """Return the state of a message; None: it is not known."""
    snapshot = store.read([task_id])[0]
    return snapshot.state if snapshot else None
