"""Build the messages of ``link`` and ``link_error`` once the outcome of a task is known."""

from __future__ import annotations

from typing import Any, Final

from ..protocol.message import Message
from ..protocol.state import State
from ..protocol.wire import JSON, Wire
from ..stores.types import NewMessage
from ..tasks.resolved import link_message
from ..tasks.signature_wire import decode_signature

__all__ = ["follow_ups"]

_FAILED: Final = frozenset({State.FAILURE, State.DEAD, State.REVOKED, State.EXPIRED})


def follow_ups(
    message: Message, state: State, value: Any, error: dict[str, Any] | None, wire: Wire = JSON
) -> tuple[NewMessage, ...]:
    """Return the messages to accept together with an outcome; none unless it is final and links exist.

    After a success each ``link`` receives the value before its own arguments; after a final failure each ``link_error``
    receives ``(task id, error message, traceback)``, three strings. Immutable signatures receive only their own
    arguments. Nothing follows an ignored task.

    Args:
        message: the message that was run.
        state: its outcome.
        value: its return value, as JSON.
        error: its error as `errors.describe` returns it; None if there is none.
        wire: encodes the messages.
    """
    if state == State.SUCCESS:
        return tuple(_follow(message, link, (value,), wire) for link in message.links)
    if state not in _FAILED or not message.error_links:
        return ()
    error = error or {}
    text = error.get("message") or error.get("type") or f"Task {message.id} was {state.value.lower()}."
    reason = (message.id, str(text), str(error.get("traceback") or ""))
    return tuple(_follow(message, link, reason, wire) for link in message.error_links)


def _follow(parent: Message, link: dict[str, Any], before: tuple[Any, ...], wire: Wire) -> NewMessage:
    signature = decode_signature(link)
    message = Message(
        # The producer chose the id, so that a task that is run twice is followed once.
        id=signature.options.task_id or "",  # never empty: `Message.decode` saw to it
        task=signature.task,
        args=[*(() if signature.immutable else before), *signature.args],
        kwargs=dict(signature.kwargs),
        queue=parent.queue,
        priority=parent.priority,
        headers=dict(signature.options.headers),
        parent_id=parent.id,
        root_id=parent.root_id or parent.id,
    )
    return link_message(signature, message, wire)
