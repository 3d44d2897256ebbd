"""Where the workflows of a plain Python app live; see `starting.Home`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..exceptions import InvalidTask
from ..protocol.links import GATHER
from ..protocol.message import Message
from ..settings import StoreSettings
from ..stores.owner import AppOwner
from ..stores.types import Limit, NewMessage, NewWorkflow
from ..tasks.enqueue import merged_options, pack
from ..tasks.signature import Signature
from .start import Part

__all__ = ["AppHome", "gathering", "in_workflow"]


class AppHome(AppOwner):
    """An app, as its workflows see it."""

    def message_of(self, signature: Signature, part: Part) -> NewMessage:
        """See `Home.message_of`."""
        from ..tasks.task import Task

        task = signature.origin
        assert isinstance(task, Task)
        call = merged_options(signature, task.defaults, part.id)
        args = (*part.before, *signature.args)
        message = in_workflow(task.message_with(args, signature.kwargs, call), part)
        return pack(message, call, task.limit_of(args, signature.kwargs), self._app.settings)

    def gathering(self, like: NewMessage, part: Part) -> NewMessage:
        """See `Home.gathering`."""
        return gathering(like, part, self._app.settings)

    def result(self, task_id: str) -> Any:
        """See `Home.result`."""
        return self._app.get_result(task_id)

    async def aresult(self, task_id: str) -> Any:
        """See `Home.aresult`: nothing is read yet."""
        return self._app.get_result(task_id)

    def results(self, ids: Sequence[str]) -> list[Any]:
        """See `Home.results`: nothing is read yet."""
        return [self._app.get_result(task_id) for task_id in ids]

    def limit_of(self, message: Message) -> Limit | None:
        """See `Home.limit_of`."""
        task = self._app.find(message.task)
        return None if task is None else task.limit_of(message.args, message.kwargs)

    def started(self, new: NewWorkflow) -> None:
        """See `Home.started`: nobody wants to know."""

    async def astarted(self, new: NewWorkflow) -> None:
        """See `Home.astarted`."""


def in_workflow(message: Message, part: Part) -> Message:
    """Return a message that knows its place in a workflow.

    Raises:
        InvalidTask: middleware has changed its id.
    """
    if message.id != part.id:
        raise InvalidTask(f"Middleware has changed the id of task {part.id} to {message.id}; a workflow makes its ids.")
    if not part.follows:
        return message
    return replace(
        message,
        follows=part.follows,
        takes=part.takes,
        parent_id=part.parent_id or message.parent_id,
        root_id=message.root_id or part.root_id,
    )


def gathering(like: NewMessage, part: Part, settings: StoreSettings) -> NewMessage:
    """Return a message of the task `GATHER`, in the queue of another message."""
    message = Message(
        id=part.id, task=GATHER, args=list(part.before), queue=like.queue, priority=like.priority, root_id=part.root_id
    )
    message = in_workflow(message, part)
    return NewMessage(part.id, like.queue, like.priority, message.encode(settings.max_payload_bytes, settings.wire))
