"""Manage schedules at run time: ``app.schedules`` and ``backend.schedules``."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, Unpack

from ..exceptions import ScheduleDeclared, ScheduleExists, ScheduleNotFound
from ..protocol.shards import new_id, schedule_tag
from ..stores.factory import clock_ms
from ..stores.schedule_store import NewSchedule, PutResult, StoredSchedule
from ..stores.types import NewMessage
from ..tasks.signature import Signature
from ..tasks.step import ApplyOptions
from .definition import DEFAULT_BOUND_S, Definition
from .owner import ScheduleOwner, definition_of
from .rules import RuleLike, rule_of
from .schedule import Schedule, show

__all__ = ["Schedule", "Schedules"]

_TRIES: Final = 20
"""How often a change is tried while others change the same schedule."""

_CHANGES: Final = frozenset({"args", "kwargs", "misfire", "misfire_bound", "schedule", "task"})


class ScheduleChanges(ApplyOptions, total=False):
    """The keyword arguments of `Schedules.update`."""

    task: Any
    schedule: RuleLike
    args: Sequence[Any]
    kwargs: Mapping[str, Any] | None
    misfire: str
    misfire_bound: float | timedelta


class Schedules:
    """The schedules of one app or backend. They are fired by its workers; every process may change them.

    Those that code declares can be paused, resumed and run, but are changed where they are declared.

    All methods raise `StoreUnavailable` and `StoreFull`.
    """

    def __init__(self, owner: ScheduleOwner) -> None:
        self._owner = owner

    # -- make and change --------------------------------------------------------------------------------

    def create(
        self,
        name: str,
        task: Any,
        schedule: RuleLike,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        misfire: str = "one",
        misfire_bound: float | timedelta = DEFAULT_BOUND_S,
        paused: bool = False,
        **options: Unpack[ApplyOptions],
    ) -> Schedule:
        """Create a schedule. Creating the same one again changes nothing.

        Args:
            name: 1 to 128 printable characters.
            task: a task, its name, or a signature of it.
            schedule: `crontab`, `every`, a timedelta, seconds, or cron's five fields as a text.
            args: positional arguments of each call.
            kwargs: keyword arguments of each call.
            misfire: the policy for occurrences that were not fired in time: ``"one"``: the last of them is fired;
                ``"skip"``: only if it is at most a minute late; ``"all"``: all are, at most the last 1000.
            misfire_bound: an occurrence that is older than this, seconds or a timedelta, is never fired.
            paused: start it paused, until `resume`.
            **options: of each call, as ``apply_async()`` has them.

        Raises:
            ScheduleExists: the name exists already.
            InvalidTask: something is wrong with the task, the rule, an argument or an option.
        """
        call = self._owner.signature_of(task, args, kwargs or {}, options)
        new = self._new(name, call, schedule, misfire, misfire_bound)
        self._created(name, self._owner.store.put_schedule(_waiting(new) if paused else new, 0))
        if paused:
            self._owner.store.pause_schedule(name, None)
        return self.get(name)

    async def acreate(
        self,
        name: str,
        task: Any,
        schedule: RuleLike,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        misfire: str = "one",
        misfire_bound: float | timedelta = DEFAULT_BOUND_S,
        paused: bool = False,
        **options: Unpack[ApplyOptions],
    ) -> Schedule:
        """Create a schedule from an event loop; see `create`."""
        call = self._owner.signature_of(task, args, kwargs or {}, options)
        new = self._new(name, call, schedule, misfire, misfire_bound)
        self._created(name, await self._owner.async_store.put_schedule(_waiting(new) if paused else new, 0))
        if paused:
            await self._owner.async_store.pause_schedule(name, None)
        return await self.aget(name)

    def update(self, name: str, **changes: Unpack[ScheduleChanges]) -> Schedule:
        """Change a schedule: any argument or option of `create`. Everything else stays.

        A new ``schedule`` counts from now on; else the next occurrence stays. With a new ``task``, nothing of the old
        call stays: its arguments and options are those that are given.

        Raises:
            ScheduleNotFound: it does not exist.
            ScheduleDeclared: code declares it.
            InvalidTask: a change is wrong.
        """
        for _ in range(_TRIES):
            stored = self._stored(name, self._owner.store.schedules([name])[0])
            if self._owner.store.put_schedule(self._changed(stored, changes), stored.revision) > PutResult.CONFLICT:
                return self.get(name)
        raise self._contended(name)

    async def aupdate(self, name: str, **changes: Unpack[ScheduleChanges]) -> Schedule:
        """Change a schedule from an event loop; see `update`."""
        for _ in range(_TRIES):
            stored = self._stored(name, (await self._owner.async_store.schedules([name]))[0])
            new = self._changed(stored, changes)
            if await self._owner.async_store.put_schedule(new, stored.revision) > PutResult.CONFLICT:
                return await self.aget(name)
        raise self._contended(name)

    def delete(self, name: str, *, force: bool = False) -> None:
        """Delete a schedule. Tasks that it has enqueued still run.

        ``force``: also one that code declares. It comes back with the next worker that starts, if that still declares
        it; not if the app has another label now, or is gone.

        Raises:
            ScheduleNotFound: it does not exist.
            ScheduleDeclared: code declares it, and ``force`` is not set.
        """
        stored = self._stored(name, self._owner.store.schedules([name])[0])
        if not force:
            self._undeclared(stored, "Delete")
        self._owner.store.delete_schedule(name)

    async def adelete(self, name: str, *, force: bool = False) -> None:
        """Delete a schedule from an event loop; see `delete`."""
        stored = self._stored(name, (await self._owner.async_store.schedules([name]))[0])
        if not force:
            self._undeclared(stored, "Delete")
        await self._owner.async_store.delete_schedule(name)

    # -- let it wait, go on, run ------------------------------------------------------------------------

    def pause(self, name: str) -> None:
        """Pause a schedule until `resume`, also across restarts and deploys.

        Raises:
            ScheduleNotFound: it does not exist.
        """
        if not self._owner.store.pause_schedule(name, None):
            raise self._missing(name)

    async def apause(self, name: str) -> None:
        """Pause a schedule from an event loop; see `pause`."""
        if not await self._owner.async_store.pause_schedule(name, None):
            raise self._missing(name)

    def resume(self, name: str) -> None:
        """Resume a paused schedule with its first occurrence from now on; one that is not paused stays unchanged.

        Raises:
            ScheduleNotFound: it does not exist.
            DecodeError: it was made by a later release.
        """
        stored = self._stored(name, self._owner.store.schedules([name])[0])
        if not self._owner.store.pause_schedule(name, self._next_ms(stored)):
            raise self._missing(name)

    async def aresume(self, name: str) -> None:
        """Resume a paused schedule from an event loop; see `resume`."""
        stored = self._stored(name, (await self._owner.async_store.schedules([name]))[0])
        if not await self._owner.async_store.pause_schedule(name, self._next_ms(stored)):
            raise self._missing(name)

    def run_now(self, name: str) -> Any:
        """Enqueue one call of a schedule now, paused or not; return a handle on its result. Nothing else changes.

        Raises:
            ScheduleNotFound: it does not exist.
            DecodeError: it was made by a later release.
        """
        stored = self._stored(name, self._owner.store.schedules([name])[0])
        return self._owner.enqueue(self._message(stored, self._owner.store.tags))

    async def arun_now(self, name: str) -> Any:
        """Enqueue one call of a schedule now, from an event loop; see `run_now`."""
        stored = self._stored(name, (await self._owner.async_store.schedules([name]))[0])
        return await self._owner.aenqueue(self._message(stored, self._owner.store.tags))

    # -- look at them -----------------------------------------------------------------------------------

    def get(self, name: str) -> Schedule:
        """Return a schedule.

        Raises:
            ScheduleNotFound: it does not exist.
        """
        return show(self._stored(name, self._owner.store.schedules([name])[0]))

    async def aget(self, name: str) -> Schedule:
        """Return a schedule; see `get`."""
        return show(self._stored(name, (await self._owner.async_store.schedules([name]))[0]))

    def list(self, limit: int = 100, after: str = "") -> builtins.list[Schedule]:
        """Return schedules in the order of their names, at most 1000; ``after``: the last name seen."""
        return [show(stored) for stored in self._owner.store.list_schedules(limit, after)]

    async def alist(self, limit: int = 100, after: str = "") -> builtins.list[Schedule]:
        """Return schedules; see `list`."""
        return [show(stored) for stored in await self._owner.async_store.list_schedules(limit, after)]

    # -- shared by both ways -----------------------------------------------------------------------------

    def _new(
        self, name: str, call: Signature, schedule: Any, misfire: str, misfire_bound: float | timedelta
    ) -> NewSchedule:
        return definition_of(self._owner, name, call, schedule, misfire, misfire_bound).new_schedule(
            clock_ms(self._owner.store)
        )

    def _created(self, name: str, put: PutResult) -> None:
        if put not in (PutResult.STORED, PutResult.UNCHANGED):
            raise ScheduleExists(
                f"There is a schedule {name!r} in {self._owner.description}; update it, or choose another name."
            )

    def _changed(self, stored: StoredSchedule, changes: Mapping[str, Any]) -> NewSchedule:
        self._undeclared(stored, "Change")
        known = Definition.decode(stored.definition)
        given = {name: value for name, value in changes.items() if name in _CHANGES}
        options = {name: value for name, value in changes.items() if name not in _CHANGES}
        call = known.signature
        if "task" in given:
            call = self._owner.signature_of(given["task"], given.get("args") or (), given.get("kwargs") or {}, options)
        elif options or "args" in given or "kwargs" in given:
            merged = {**replace(call.options, task_id=None).given(), **options}
            args, kwargs = given.get("args", call.args), given.get("kwargs", call.kwargs)
            call = self._owner.signature_of(call.task, args or (), kwargs or {}, merged)
        if call.origin is not None:
            known = definition_of(self._owner, known.name, call, known.rule, known.misfire, known.bound_s)
        rule = rule_of(given["schedule"]).in_zone(self._owner.timezone) if "schedule" in given else known.rule
        bound = given.get("misfire_bound", known.bound_s)
        changed = replace(
            known,
            rule=rule,
            misfire=given.get("misfire", known.misfire),
            bound_s=bound.total_seconds() if isinstance(bound, timedelta) else bound,
        )
        return changed.new_schedule(clock_ms(self._owner.store))

    def _next_ms(self, stored: StoredSchedule) -> int:
        return Definition.decode(stored.definition).rule.next_ms(clock_ms(self._owner.store))

    def _message(self, stored: StoredSchedule, tags: tuple[str, ...]) -> NewMessage:
        tag = schedule_tag(stored.name, tags)
        definition = Definition.decode(stored.definition)
        return definition.message(clock_ms(self._owner.store), tag, self._owner.settings, new_id((tag,)))

    def _stored(self, name: str, stored: StoredSchedule | None) -> StoredSchedule:
        if stored is None:
            raise self._missing(name)
        return stored

    def _missing(self, name: str) -> ScheduleNotFound:
        return ScheduleNotFound(f"There is no schedule {name!r} in {self._owner.description}.")

    def _undeclared(self, stored: StoredSchedule, what: str) -> None:
        if stored.declared:
            raise ScheduleDeclared(
                f"The schedule {stored.name!r} is declared by {stored.declared}. {what} it there; "
                "it can be paused and run here."
            )

    def _contended(self, name: str) -> ScheduleExists:
        return ScheduleExists(f"The schedule {name!r} was changed by others {_TRIES} times meanwhile; try again.")


def _waiting(new: NewSchedule) -> NewSchedule:
    """Return the same without a next occurrence: it is paused only after it was stored."""
    return new._replace(next_ms=None)
