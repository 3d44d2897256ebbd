"""A plain Python app as the owner of its tasks, workflows and schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .exceptions import InvalidTask
from .protocol.graph import Graph
from .protocol.message import Message
from .results import Result
from .results.workflow_result import aresult_of, result_of
from .schedules.owner import make_signature
from .settings import StoreSettings
from .stores.base import AsyncStore, Store
from .stores.factory import open_async_store, open_store
from .stores.types import Limit, NewMessage
from .stores.workflow_types import NewWorkflow
from .tasks.signature import Signature
from .tasks.task import Task

__all__ = ["AppOwner"]


class AppOwner:
    """An app's settings, stores and registered tasks; see `Owner` and `ScheduleOwner`."""

    def __init__(self, label: str, settings: StoreSettings, timezone: str) -> None:
        self.label = label
        self.timezone = timezone
        self.tasks: dict[str, Task[Any, Any]] = {}
        self.use(settings)

    def use(self, settings: StoreSettings) -> None:
        """Use the store of these settings; no connection is made yet."""
        self.settings = settings
        self.store: Store = open_store(settings)
        self.async_store: AsyncStore = open_async_store(settings)

    @property
    def description(self) -> str:
        """See `Owner.description`."""
        return f"the app {self.label!r} ({self.settings.shown_url})"

    def result(self, task_id: str) -> Result[Any]:
        """See `Owner.result`: nothing is read yet."""
        return Result(self, task_id)

    async def aresult(self, task_id: str) -> Result[Any]:
        """See `Owner.aresult`: nothing is read yet."""
        return Result(self, task_id)

    def results(self, ids: Sequence[str]) -> list[Result[Any]]:
        """See `Owner.results`: nothing is read yet."""
        return [Result(self, task_id) for task_id in ids]

    def limit_of(self, message: Message) -> Limit | None:
        """See `Owner.limit_of`."""
        task = self.tasks.get(message.task)
        return None if task is None else task.limit_of(message.args, message.kwargs)

    def start_workflow(self, new: NewWorkflow, graph: Graph) -> Any:
        """See `Owner.start_workflow`."""
        self.store.start_workflow(new)
        return result_of(self, graph)

    async def astart_workflow(self, new: NewWorkflow, graph: Graph) -> Any:
        """See `Owner.astart_workflow`."""
        await self.async_store.start_workflow(new)
        return await aresult_of(self, graph)

    # -- schedules -----------------------------------------------------------------------------------

    def signature_of(
        self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Signature:
        """See `ScheduleOwner.signature_of`."""
        if isinstance(task, str):
            found = self.tasks.get(task)
            if found is None:
                known = ", ".join(sorted(self.tasks)) or "none"
                raise InvalidTask(f"task is {task!r}, which {self.description} does not know; it knows: {known}.")
            task = found
        signature = make_signature(task, args, kwargs)
        origin = signature.origin
        if origin is None or origin.owner_of(signature) is not self:
            raise InvalidTask(f"task is {task!r}, which is none of {self.description}.")
        return signature.set(**options)

    def resolve(self, signature: Signature) -> Signature:
        """See `ScheduleOwner.resolve`."""
        assert signature.origin is not None
        return signature.origin.resolve(signature, self.settings.tags[0])

    def enqueue(self, message: NewMessage) -> Result[Any]:
        """See `ScheduleOwner.enqueue`."""
        self.store.enqueue((message,))
        return Result(self, message.id)

    async def aenqueue(self, message: NewMessage) -> Result[Any]:
        """See `ScheduleOwner.aenqueue`."""
        await self.async_store.enqueue((message,))
        return Result(self, message.id)
