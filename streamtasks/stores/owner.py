"""The owner of tasks: a plain Python app, or one backend alias of a Django project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ..protocol.graph import Graph
from ..protocol.message import Message
from ..settings import StoreSettings
from .base import AsyncStore, Store
from .types import Limit
from .workflow_types import NewWorkflow

__all__ = ["Owner"]


class Owner(Protocol):
    """The app or backend alias that owns a task. Two owners of the same tasks are equal."""

    @property
    def description(self) -> str:
        """The owner's name in error messages."""
        ...

    @property
    def settings(self) -> StoreSettings:
        """The settings of its store."""
        ...

    @property
    def store(self) -> Store:
        """Its store."""
        ...

    @property
    def async_store(self) -> AsyncStore:
        """The same store for event loops."""
        ...

    def result(self, task_id: str) -> Any:
        """Return a handle on a task."""
        ...

    async def aresult(self, task_id: str) -> Any:
        """Return a handle on a task, from an event loop."""
        ...

    def results(self, ids: Sequence[str]) -> list[Any]:
        """Return handles on tasks."""
        ...

    def limit_of(self, message: Message) -> Limit | None:
        """Return the rate limit that counts the starts of a message; None: it has none."""
        ...

    def start_workflow(self, new: NewWorkflow, graph: Graph) -> Any:
        """Enqueue a workflow with this graph; return a handle on its result."""
        ...

    async def astart_workflow(self, new: NewWorkflow, graph: Graph) -> Any:
        """Enqueue a workflow from an event loop; see `start_workflow`."""
        ...
