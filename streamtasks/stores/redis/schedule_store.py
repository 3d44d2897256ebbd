"""The calls for schedules of both stores on Redis; what they do stands in `schedule_operations`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ..schedule_store import DueSchedules, Firing, NewSchedule, Put, StoredSchedule
from . import schedule_operations

if TYPE_CHECKING:
    from .operations import Operation, Operations

__all__ = ["AsyncRedisSchedules", "RedisSchedules"]

NONE: Final[Mapping[str, int]] = MappingProxyType({})


class RedisSchedules:
    """See `ScheduleStore`."""

    operations: Operations

    if TYPE_CHECKING:

        def _run[T](self, operation: Operation[T]) -> T: ...

    def put_schedule(self, schedule: NewSchedule, revision: int) -> Put:
        """See `ScheduleStore.put_schedule`."""
        return self._run(schedule_operations.put(self.operations, schedule, revision))

    def drop_schedule(self, name: str) -> bool:
        """See `ScheduleStore.drop_schedule`."""
        return self._run(schedule_operations.drop(self.operations, name))

    def pause_schedule(self, name: str, next_ms: int | None) -> bool:
        """See `ScheduleStore.pause_schedule`."""
        return self._run(schedule_operations.pause(self.operations, name, next_ms))

    def schedules(self, names: Sequence[str]) -> list[StoredSchedule | None]:
        """See `ScheduleStore.schedules`."""
        return self._run(schedule_operations.read(self.operations, names))

    def list_schedules(self, limit: int = 100, after: str = "") -> list[StoredSchedule]:
        """See `ScheduleStore.list_schedules`."""
        return self._run(schedule_operations.listed(self.operations, limit, after))


class AsyncRedisSchedules:
    """See `AsyncScheduleStore` and `SupervisorScheduleStore`."""

    operations: Operations

    if TYPE_CHECKING:

        async def _run[T](self, operation: Operation[T]) -> T: ...

    async def put_schedule(self, schedule: NewSchedule, revision: int) -> Put:
        """See `ScheduleStore.put_schedule`."""
        return await self._run(schedule_operations.put(self.operations, schedule, revision))

    async def drop_schedule(self, name: str) -> bool:
        """See `ScheduleStore.drop_schedule`."""
        return await self._run(schedule_operations.drop(self.operations, name))

    async def pause_schedule(self, name: str, next_ms: int | None) -> bool:
        """See `ScheduleStore.pause_schedule`."""
        return await self._run(schedule_operations.pause(self.operations, name, next_ms))

    async def schedules(self, names: Sequence[str]) -> list[StoredSchedule | None]:
        """See `ScheduleStore.schedules`."""
        return await self._run(schedule_operations.read(self.operations, names))

    async def list_schedules(self, limit: int = 100, after: str = "") -> list[StoredSchedule]:
        """See `ScheduleStore.list_schedules`."""
        return await self._run(schedule_operations.listed(self.operations, limit, after))

    async def declare_schedules(self, tag: str, schedules: Sequence[NewSchedule]) -> list[Put]:
        """See `SupervisorScheduleStore.declare_schedules`."""
        return await self._run(schedule_operations.declare(self.operations, tag, schedules))

    async def undeclare_schedules(self, tag: str, label: str, since_ms: int) -> int:
        """See `SupervisorScheduleStore.undeclare_schedules`."""
        return await self._run(schedule_operations.undeclare(self.operations, tag, label, since_ms))

    async def due_schedules(self, tag: str, passed: Mapping[str, int] = NONE) -> DueSchedules:
        """See `SupervisorScheduleStore.due_schedules`."""
        return await self._run(schedule_operations.due(self.operations, tag, passed))

    async def fire(self, tag: str, firings: Sequence[Firing]) -> list[bool]:
        """See `SupervisorScheduleStore.fire`."""
        return await self._run(schedule_operations.fire(self.operations, tag, firings))
