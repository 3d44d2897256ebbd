"""Read the results that a task of a workflow takes from its predecessors, when it starts, in bounded parts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from streamtasks.exceptions import StoreUnavailable
from streamtasks.protocol.links import GATHER
from streamtasks.protocol.member_results import Member, check_inputs, read_members, value_of_node
from streamtasks.protocol.message import Message
from streamtasks.protocol.shards import node_id, node_of
from streamtasks.protocol.wire import Wire
from streamtasks.stores.types import Claimed, Outcome
from streamtasks.tasks.attempt import Attempt

from .internal_task import InternalTask
from .outcomes import Outcomes

__all__ = ["Gather", "Inputs", "ResultGatherer", "gather_nothing"]

logger = logging.getLogger("streamtasks.worker")

PAUSE_S: Final = 0.5
"""Between two tries to reach an absent store, seconds."""

type Gather = Callable[[str, str], list[bytes]]
"""`Store.gather`."""


def gather_nothing(workflow_id: str, field: str) -> list[bytes]:  # noqa: ARG001
    """Stand in for `Store.gather` where there is no store."""
    return []


class Inputs:
    """Reads the values that are put before a message's own arguments."""

    def __init__(self, gather: Gather, wire: Wire) -> None:
        self._gather = gather
        self._wire = wire

    def take(self, message: Message) -> None:
        """Insert the result of its predecessors before a message's arguments. Waits for an absent store.

        Raises:
            DecodeError: this process cannot, or may not, read a result.
        """
        node = node_of(message.id)
        if node is None or not message.takes:
            return
        if message.follows.startswith("g"):
            value: Any = self._list(node[0], f"r{message.follows[1:]}", message)
        else:
            cause = node_id(node[0], int(message.follows))
            value = value_of_node(b"".join(self._read(node[0], f"v{message.follows}")), cause, self._wire)
        message.args.insert(0, value)

    def _list(self, workflow_id: str, field: str, message: Message) -> list[Any]:
        members = read_members(self._read(workflow_id, field), self._wire)
        if message.inputs:
            check_inputs(members, message.inputs, message.id)
        return [_value(member) for member in members]

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


class ResultGatherer(InternalTask):
    """The task behind nodes that make one value of a group inside a group."""

    name = GATHER

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs

    def execute(self, claimed: Claimed, attempt: Attempt, outcomes: Outcomes) -> Outcome:
        """Return the list of the group's results as its own."""
        self._inputs.take(attempt.message)
        result = outcomes.encode(attempt.message, attempt.message.args[0])
        return outcomes.success(claimed, attempt.started_ms, result)
