"""Build error callbacks; log broken ones so that the outcome is still recorded."""

from __future__ import annotations

import logging
from typing import Any

from streamtasks.protocol.message import Message
from streamtasks.protocol.state import State
from streamtasks.protocol.wire import Wire
from streamtasks.stores.types import NewMessage
from streamtasks.workflows.follow_ups import follow_ups

__all__ = ["error_callbacks"]

logger = logging.getLogger("streamtasks.worker")


def error_callbacks(message: Message, state: State, error: dict[str, Any] | None, wire: Wire) -> tuple[NewMessage, ...]:
    """Return the messages that follow a failure; none, and a log record, if they cannot be built."""
    if not message.error_links:
        return ()
    try:
        return follow_ups(message, state, None, error, wire)
    except Exception:
        logger.exception("the error callbacks of task %s (%s) cannot be built", message.id, message.task)
        return ()
