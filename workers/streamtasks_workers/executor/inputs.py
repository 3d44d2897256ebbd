"""What a task of a workflow gets from those that it follows: read from the store when it starts, in bounded parts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from streamtasks.exceptions import StoreUnavailable
from streamtasks.protocol.links import GATHER
from streamtasks.protocol.member_results import Member, read_members, value_of_node
from streamtasks.protocol.message import Message
from streamtasks.protocol.shards import node_id, node_of
from streamtasks.protocol.wire import Wire
from streamtasks.tasks.attempt import Attempt, AttemptOutcome
from streamtasks.tasks.run_options import RunOptions

__all__ = ["Gather", "HandOn", "Inputs", "nothing_kept"]

logger = logging.getLogger("streamtasks.worker")

PAUSE_S: Final = 0.5
"""Between two tries to reach an absent store, seconds."""

type Gather = Callable[[str, str], list[bytes]]
"""`Store.gather`."""


def nothing_kept(workflow_id: str, field: str) -> list[bytes]:  # noqa: ARG001
    """Stand in for `Store.gather` where there is no store."""
    return []


class Inputs:
    """Reads what goes before a message's own arguments."""

    def __init__(self, gather: Gather, wire: Wire) -> None:
        self._gather = gather
        self._wire = wire

    def take(self, message: Message) -> None:
        """Put the result of what a message follows before its arguments. Waits for an absent store.

        Raises:
            DecodeError: this process cannot, or may not, read a result.
        """
        node = node_of(message.id)
        if node is None or not message.takes:
            return
        if message.follows.startswith("g"):
            value: Any = self._list(node[0], f"r{message.follows[1:]}")
        else:
            cause = node_id(node[0], int(message.follows))
            value = value_of_node(b"".join(self._read(node[0], f"v{message.follows}")), cause, self._wire)
        message.args.insert(0, value)

    def _list(self, workflow_id: str, field: str) -> list[Any]:
        return [_value(member) for member in read_members(self._read(workflow_id, field), self._wire)]

    def _read(self, workflow_id: str, field: str) -> list[bytes]:
        while True:
            try:
                return self._gather(workflow_id, field)
            except StoreUnavailable as error:
                # Its outcome could not be written either: there is nothing better to do than to wait.
                logger.debug("results of workflow %s cannot be read now: %s", workflow_id, error)
                time.sleep(PAUSE_S)


def _value(member: Member | None) -> Any:
    if member is None or member.late:
        return None  # what follows did not wait for it
    error = member.error()
    if error is None:
        return member.value()
    return {
        "task_id": member.id,
        "state": member.state.value,
        "error": error.get("type"),
        "message": error.get("message"),
        "traceback": error.get("traceback"),
    }


class HandOn:
    """The task behind nodes that make one value of a group inside a group; see `Runnable`."""

    name = GATHER
    is_async = False
    run_options = RunOptions()

    def run(self, attempt: Attempt) -> Any:
        """Return the list that it gets."""
        return attempt.message.args[0]

    def before_start(self, attempt: Attempt) -> None:
        """See `Runnable.before_start`."""

    def after(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """See `Runnable.after`."""
