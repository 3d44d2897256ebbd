"""The position of a message in its workflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ..exceptions import InvalidTask
from ..protocol.message import Message

__all__ = ["Position"]


class Position(NamedTuple):
    """The position of a node in its workflow, as its message records it.

    Attributes:
        id: the node's task id.
        follows: what it follows; see `Message.follows`.
        takes: whether it receives the result of that.
        parent_id: the task that it follows; empty: none, or a fan-in.
        root_id: the first task of the workflow; empty: itself.
        before: values that stand before its arguments.
        inputs: see `Message.inputs`.
    """

    id: str
    follows: str = ""
    takes: bool = False
    parent_id: str = ""
    root_id: str = ""
    before: tuple[Any, ...] = ()
    inputs: Sequence[Any] = ()

    def applied_to(self, message: Message) -> Message:
        """Return a message with this position.

        Raises:
            InvalidTask: middleware has changed the message's id.
        """
        if message.id != self.id:
            raise InvalidTask(
                f"Middleware has changed the id of task {self.id} to {message.id}; the ids of a workflow are fixed."
            )
        if not self.follows:
            return message
        return replace(
            message,
            follows=self.follows,
            takes=self.takes,
            inputs=self.inputs,
            parent_id=self.parent_id or message.parent_id,
            root_id=message.root_id or self.root_id,
        )
