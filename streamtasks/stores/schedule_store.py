"""Schedules in a `Store`: its calls, and the values that they take and return.

A schedule lives on one shard (`shards.schedule_tag`), and so do the messages of its occurrences: the script that fires
one enqueues its message and moves the schedule on in the same step, unless somebody else has done it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

from .types import NewMessage

__all__ = [
    "SILENT_MS",
    "AsyncScheduleStore",
    "DueSchedule",
    "DueSchedules",
    "Firing",
    "NewSchedule",
    "PutResult",
    "ScheduleStore",
    "StoredSchedule",
    "SupervisorScheduleStore",
]


SILENT_MS: Final = 600_000
"""What no worker has declared for longer, ms, is gone."""


class NewSchedule(NamedTuple):
    """A schedule to store.

    ``definition``: an encoded `schedules.definition.Definition`. ``rule``: the part of it that determines its times; if
    it changes, the next occurrence does as well. ``next_ms``: the next occurrence, ms since the epoch; None: there is
    none. ``declared``: the label of the project whose code declares it; empty: it was made at run time. ``since_ms``:
    when that code was loaded; older code changes nothing. ``release``: its name; then it counts when that came first.
    """

    name: str
    definition: bytes
    rule: str
    next_ms: int | None
    declared: str = ""
    since_ms: int = 0
    release: str = ""


class PutResult(IntEnum):
    """What became of a schedule that was to be stored.

    CONFLICT: it exists (of one to be created), does not exist or is of another revision (of one to be changed), or
    a later release of its project declares (of a declared one). TAKEN: the name belongs to a declared one, or to one
    that another project declares; or the declared name to one that was made at run time.
    """

    CONFLICT = 0
    STORED = 1
    UNCHANGED = 2
    TAKEN = 3


class StoredSchedule(NamedTuple):
    """A schedule as it is stored.

    ``revision`` rises with each change of the definition. ``next_ms`` is kept while it is paused, too. ``fired``
    and ``missed`` count occurrences, ``last_ms`` and ``last_id`` are the last one that fired and its message's id; 0
    and empty: none has.
    """

    name: str
    revision: int
    definition: bytes
    declared: str
    paused: bool
    next_ms: int | None
    fired: int
    missed: int
    last_ms: int
    last_id: str


class DueSchedule(NamedTuple):
    """A schedule that is to be fired now; see `StoredSchedule`."""

    name: str
    revision: int
    definition: bytes
    next_ms: int


class DueSchedules(NamedTuple):
    """Schedules to be fired: ``due``, at most 100, the longest due first.

    ``next_ms``: ms until the next one is due, 0 if there are more now; None: none will be. ``now_ms``: the store's
    clock, ms since the epoch.
    """

    now_ms: int
    due: list[DueSchedule]
    next_ms: int | None


class Firing(NamedTuple):
    """What a due schedule brings: ``messages`` of its occurrences, oldest first, and its next occurrence.

    It happens only if the schedule's revision and next occurrence (``expected_ms``) are still these, that one has come
    by the store's clock, and it is not paused. Without messages it may also bring an occurrence forward that has not
    come, because the clock went back. ``next_ms``: None if there is no other;
    ``missed``: occurrences before it that bring nothing; ``last_ms``: that of the last message.
    """

    name: str
    revision: int
    expected_ms: int
    next_ms: int | None
    messages: Sequence[NewMessage]
    missed: int = 0
    last_ms: int = 0


class ScheduleStore(Protocol):
    """Schedules in `base.Store`. All methods raise `StoreUnavailable` and `StoreFull`."""

    def put_schedule(self, schedule: NewSchedule, revision: int) -> PutResult:
        """Store a schedule; ``revision``: 0 to create it, else the one that it replaces.

        Safe to repeat: what is there already, to the byte, is UNCHANGED.
        """
        ...

    def delete_schedule(self, name: str, /) -> bool:
        """Forget a schedule; False: there is none of that name."""
        ...

    def pause_schedule(self, name: str, /, next_ms: int | None) -> bool:
        """Pause a schedule (None), or let it go on with this occurrence; False: there is none of that name."""
        ...

    def schedules(self, names: Sequence[str]) -> list[StoredSchedule | None]:
        """Return what is known of each name."""
        ...

    def list_schedules(self, limit: int = 100, after: str = "") -> list[StoredSchedule]:
        """Return schedules in the order of their names, at most 1000; ``after``: a name to go on from."""
        ...


class AsyncScheduleStore(Protocol):
    """The same, natively asynchronous; see `ScheduleStore`."""

    async def put_schedule(self, schedule: NewSchedule, revision: int) -> PutResult:
        """Store a schedule."""
        ...

    async def delete_schedule(self, name: str, /) -> bool:
        """Forget a schedule."""
        ...

    async def pause_schedule(self, name: str, /, next_ms: int | None) -> bool:
        """Pause a schedule, or let it go on."""
        ...

    async def schedules(self, names: Sequence[str]) -> list[StoredSchedule | None]:
        """Return what is known of each name."""
        ...

    async def list_schedules(self, limit: int = 100, after: str = "") -> list[StoredSchedule]:
        """Return schedules in the order of their names."""
        ...


class SupervisorScheduleStore(Protocol):
    """What a supervisor needs, natively asynchronous. All calls concern one shard."""

    async def declare_schedules(self, tag: str, /, schedules: Sequence[NewSchedule]) -> list[PutResult]:
        """Store schedules that code declares, at most 100: created, or changed if they differ.

        What keeps its ``rule`` keeps its next occurrence; all keep being paused. While a later release of the project
        declares (within `SILENT_MS`), what differs is a CONFLICT.
        """
        ...

    async def undeclare_schedules(self, tag: str, /, label: str, silent_ms: int = ...) -> list[str]:
        """Forget what no worker has declared for longer, of a project; return the names."""
        ...

    async def shard_schedules(self, tag: str, /, after: str = "") -> list[StoredSchedule]:
        """Return schedules in the order of their names, at most 100, after this one; empty: no more."""
        ...

    async def due_schedules(self, tag: str, /, passed: Mapping[str, int] = ...) -> DueSchedules:
        """Return what is to be fired, but for what is of these revisions."""
        ...

    async def fire(self, tag: str, /, firings: Sequence[Firing]) -> list[bool]:
        """Accept the messages of due schedules and move these on; False: nothing was done, see `Firing`.

        A firing has at most 100 messages. None of them waits for another task.
        """
        ...
