"""The context that a task with ``takes_context=True`` gets: Django's, with metadata."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from streamtasks.exceptions import StoreError, StreamTasksError

from ..framework import TaskContext as DjangoTaskContext
from ..results.metadata import merged, shown

if TYPE_CHECKING:
    from ..framework import TaskResult
    from ..results.result_backend import ResultBackend

    class _Base(DjangoTaskContext[Any, Any]):
        """Django's context, whatever its task."""
else:
    _Base = DjangoTaskContext

__all__ = ["TaskContext"]

logger = logging.getLogger("streamtasks.django")


class TaskContext(_Base):
    """What a running task knows of itself.

    Attributes:
        task_result: the result of this attempt at its start.
        attempt: 1 for the first attempt.
        metadata: a dict of JSON values; change it in place. What has changed is stored when the attempt ends, however
            it ends, and by `save_metadata`. Keys that begin with ``_`` are not shown and not stored.
    """

    __slots__ = ("_saved", "metadata")

    metadata: dict[str, Any]

    def __init__(self, *, task_result: TaskResult[Any, Any]) -> None:
        put = object.__setattr__  # Django's own class is frozen
        put(self, "task_result", task_result)
        raw = getattr(task_result, "raw_metadata", {})
        put(self, "metadata", shown(raw))
        put(self, "_saved", shown(raw))

    @property
    def metadata_modified(self) -> bool:
        """Whether `metadata` differs from what is stored."""
        saved: dict[str, Any] = self._saved  # type: ignore[attr-defined]
        return bool(self.metadata != saved)

    def save_metadata(self) -> None:
        """Store `metadata` now: readers of the result and later attempts get it.

        Raises:
            TypeError, ValueError: JSON cannot encode a value.
            InvalidTask: it is too large.
            ClaimLost: another worker has this task by now; nothing was stored.
            StoreUnavailable: the server did not answer in time.
        """
        raw = self._merged()
        self._backend().save_metadata(self.task_result, raw)
        self._note(raw)

    async def asave_metadata(self) -> None:
        """Store `metadata` without blocking the event loop; see `save_metadata`."""
        raw = self._merged()
        await self._backend().asave_metadata(self.task_result, raw)
        self._note(raw)

    def save_at_end(self) -> None:
        """Store what has changed, after the task has returned; an absent server fails no task that has succeeded."""
        if self.metadata_modified:
            try:
                self.save_metadata()
            except StoreError as error:
                self._not_stored(error)

    async def asave_at_end(self) -> None:
        """Store what has changed on an event loop; see `save_at_end`."""
        if self.metadata_modified:
            try:
                await self.asave_metadata()
            except StoreError as error:
                self._not_stored(error)

    def save_after_error(self) -> None:
        """Store what has changed, after the task has raised, and keep that error: others are logged."""
        try:
            self.save_at_end()
        except (TypeError, ValueError, StreamTasksError) as error:
            self._not_stored(error)

    async def asave_after_error(self) -> None:
        """Store what has changed on an event loop; see `save_after_error`."""
        try:
            await self.asave_at_end()
        except (TypeError, ValueError, StreamTasksError) as error:
            self._not_stored(error)

    def _merged(self) -> dict[str, Any]:
        return merged(getattr(self.task_result, "raw_metadata", {}), self.metadata)

    def _backend(self) -> ResultBackend:
        backend: Any = self.task_result.task.get_backend()
        return backend  # type: ignore[no-any-return]

    def _note(self, raw: dict[str, Any]) -> None:
        object.__setattr__(self.task_result, "raw_metadata", raw)
        object.__setattr__(self, "_saved", shown(raw))

    def _not_stored(self, error: Exception) -> None:
        logger.warning("The metadata of task %s was not stored: %s", self.task_result.id, error)
