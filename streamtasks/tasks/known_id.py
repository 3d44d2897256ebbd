"""Compare a call with the task that has its id already."""

from __future__ import annotations

import logging

from ..exceptions import DecodeError, TaskIdInUse
from ..protocol.message import Message
from ..protocol.state import Snapshot
from ..protocol.wire import Wire
from ..stores.types import NewMessage

__all__ = ["check_known"]

logger = logging.getLogger("streamtasks.tasks")


def check_known(new: NewMessage, known: Snapshot | None, wire: Wire) -> None:
    """Check that a call whose id was known is the call that was enqueued then, and log that nothing was enqueued.

    Only the task and its arguments are compared: middleware may change headers, and times are relative. Nothing is
    left to compare with if the result was deleted, or if this process may not read what is stored.

    Args:
        new: the call.
        known: what the store has under its id; None: nothing but the id.
        wire: decodes the call.

    Raises:
        TaskIdInUse: it is another task, or has other arguments.
    """
    if known is not None and known.envelope:
        try:
            before = known.message()
        except DecodeError as error:
            logger.warning("task %s is known, but cannot be compared with this call: %s", new.id, error)
            return
        call = Message.decode(new.envelope, wire, new.id)
        if call.task != before.task:
            raise TaskIdInUse(
                f"task_id {new.id!r} belongs to a call of {before.task}, so this call of {call.task} was not enqueued. "
                "Give another id, or none."
            )
        if (call.args, call.kwargs) != (before.args, before.kwargs):
            raise TaskIdInUse(
                f"task_id {new.id!r} belongs to a call of {before.task} with other arguments, so this one was not "
                "enqueued. Give another id, or none."
            )
    logger.info("task %s is already enqueued; nothing was done", new.id)
