"""The calls for schedules of both stores in memory; what they do stands in `schedules`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ...protocol.shards import schedule_tag
from ..schedule_store import DueSchedules, Firing, NewSchedule, PutResult, StoredSchedule
from . import schedules as scheduling

if TYPE_CHECKING:
    from .server import MemoryServer
    from .shard import Shard
    from .store import MemoryStore

__all__ = ["AsyncMemorySchedules", "MemorySchedules"]

MOST_LISTED: Final = 1000
NONE: Final[Mapping[str, int]] = MappingProxyType({})


class MemorySchedules:
    """See `ScheduleStore`."""

    server: MemoryServer

    if TYPE_CHECKING:

        @property
        def tags(self) -> tuple[str, ...]: ...

        def shard(self, tag: str) -> Shard: ...

    def _scheduling(self, name: str) -> Shard:
        return self.shard(schedule_tag(name, self.tags))

    def put_schedule(self, schedule: NewSchedule, revision: int) -> PutResult:
        """See `ScheduleStore.put_schedule`."""
        with self.server.step():
            return scheduling.put(self._scheduling(schedule.name), schedule, revision)

    def delete_schedule(self, name: str) -> bool:
        """See `ScheduleStore.delete_schedule`."""
        with self.server.step():
            return scheduling.forget(self._scheduling(name), name)

    def pause_schedule(self, name: str, next_ms: int | None) -> bool:
        """See `ScheduleStore.pause_schedule`."""
        with self.server.step():
            return scheduling.pause(self._scheduling(name), name, next_ms)

    def schedules(self, names: Sequence[str]) -> list[StoredSchedule | None]:
        """See `ScheduleStore.schedules`."""
        with self.server.lock:
            return [scheduling.stored(self._scheduling(name), name) for name in names]

    def list_schedules(self, limit: int = 100, after: str = "") -> list[StoredSchedule]:
        """See `ScheduleStore.list_schedules`."""
        with self.server.lock:
            names = sorted(name for tag in self.tags for name in self.shard(tag).schedules if name > after)
            found = [scheduling.stored(self._scheduling(name), name) for name in names[: min(limit, MOST_LISTED)]]
        return [one for one in found if one is not None]


class AsyncMemorySchedules:
    """See `AsyncScheduleStore` and `SupervisorScheduleStore`."""

    server: MemoryServer
    plain: MemoryStore

    async def put_schedule(self, schedule: NewSchedule, revision: int) -> PutResult:
        """See `ScheduleStore.put_schedule`."""
        return self.plain.put_schedule(schedule, revision)

    async def delete_schedule(self, name: str) -> bool:
        """See `ScheduleStore.delete_schedule`."""
        return self.plain.delete_schedule(name)

    async def pause_schedule(self, name: str, next_ms: int | None) -> bool:
        """See `ScheduleStore.pause_schedule`."""
        return self.plain.pause_schedule(name, next_ms)

    async def schedules(self, names: Sequence[str]) -> list[StoredSchedule | None]:
        """See `ScheduleStore.schedules`."""
        return self.plain.schedules(names)

    async def list_schedules(self, limit: int = 100, after: str = "") -> list[StoredSchedule]:
        """See `ScheduleStore.list_schedules`."""
        return self.plain.list_schedules(limit, after)

    async def declare_schedules(self, tag: str, schedules: Sequence[NewSchedule]) -> list[PutResult]:
        """See `SupervisorScheduleStore.declare_schedules`."""
        with self.server.step():
            return [scheduling.put(self.plain.shard(tag), one, 0) for one in schedules]

    async def undeclare_schedules(self, tag: str, label: str, since_ms: int) -> int:
        """See `SupervisorScheduleStore.undeclare_schedules`."""
        with self.server.step():
            return scheduling.undeclare(self.plain.shard(tag), label, since_ms)

    async def due_schedules(self, tag: str, passed: Mapping[str, int] = NONE) -> DueSchedules:
        """See `SupervisorScheduleStore.due_schedules`."""
        with self.server.lock:
            return scheduling.due(self.plain.shard(tag), passed)

    async def fire(self, tag: str, firings: Sequence[Firing]) -> list[bool]:
        """See `SupervisorScheduleStore.fire`.

        Raises:
            StoreFull: there would be more than ``max_tasks`` unfinished tasks; this firing and those after it wait.
        """
        answers: list[bool] = []
        for firing in firings:
            with self.server.step():
                shard = self.plain.shard(tag)
                self.server.make_room([shard] * len(firing.messages), firing.messages)
                answers.append(scheduling.fire(shard, firing))
        return answers
