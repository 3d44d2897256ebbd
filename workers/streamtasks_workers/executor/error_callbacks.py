"""What follows a final failure, without letting a broken link cost the outcome itself."""

from __future__ import annotations

import logging
from typing import Any

from streamtasks.protocol.message import Message
from streamtasks.protocol.state import State
from streamtasks.protocol.wire import Wire
from streamtasks.stores.types import NewMessage
from streamtasks.workflows.follow_ups import follow_ups

__all__ = ["followers"]

logger = logging.getLogger("streamtasks.worker")


def followers(message: Message, state: State, error: dict[str, Any] | None, wire: Wire) -> tuple[NewMessage, ...]:
    """Return the messages that follow a failure; if they cannot be made, that is logged and nothing follows."""
    if not message.error_links:
        return ()
    try:
        return follow_ups(message, state, None, error, wire)
    except Exception:
        logger.exception("what follows task %s (%s) cannot be made; nothing follows it", message.id, message.task)
        return ()
