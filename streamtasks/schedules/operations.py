"""Operations on schedules at run time, for blocking and for asynchronous callers alike."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Final, Unpack

from ..exceptions import ScheduleDeclared, ScheduleExists, ScheduleNotFound
from ..protocol.shards import new_id, schedule_tag
from ..protocol.wire import Wire
from ..stores.factory import clock_ms
from ..stores.schedule_store import NewSchedule, PutResult, StoredSchedule
from ..stores.types import NewMessage
from ..tasks.signature import Signature
from ..tasks.step import ApplyOptions
from .definition import DEFAULT_BOUND_S, Definition
from .owner import ScheduleOwner, definition_of
from .rules import RuleLike, rule_of
from .schedule import Schedule, show

__all__ = ["Operation", "ScheduleChanges", "ScheduleOperations"]

type Operation[T] = Generator[Callable[[Any], Any], Any, T]
"""Yields functions of a store, and is sent what they return, or what a coroutine of theirs does."""

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


class ScheduleOperations:
    """The operations of `Schedules`: generators that yield what they ask of a store, and are sent the answers."""

    def __init__(self, owner: ScheduleOwner) -> None:
        self._owner = owner

    @property
    def _wire(self) -> Wire:
        return self._owner.settings.wire

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
    ) -> Operation[Schedule]:
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
        put = yield lambda store: store.put_schedule(_waiting(new) if paused else new, 0)
        self._created(name, put)
        if paused:
            yield lambda store: store.pause_schedule(name, None)
        return (yield from self.get(name))

    def update(self, name: str, **changes: Unpack[ScheduleChanges]) -> Operation[Schedule]:
        """Change a schedule: any argument or option of `create`. Everything else stays.

        A new ``schedule`` counts from now on; else the next occurrence stays. With a new ``task``, nothing of the old
        call stays: its arguments and options are those that are given.

        Raises:
            ScheduleNotFound: it does not exist.
            ScheduleDeclared: code declares it.
            InvalidTask: a change is wrong.
        """
        for _ in range(_TRIES):
            stored = yield from self._read(name)
            new, revision = self._changed(stored, changes), stored.revision
            put = yield partial(_put, new=new, revision=revision)
            if put > PutResult.CONFLICT:
                return (yield from self.get(name))
        raise self._contended(name)

    def delete(self, name: str, *, force: bool = False) -> Operation[None]:
        """Delete a schedule. Tasks that it has enqueued still run.

        ``force``: also one that code declares. It comes back with the next worker that starts, if that still declares
        it; not if the app has another label now, or is gone.

        Raises:
            ScheduleNotFound: it does not exist.
            ScheduleDeclared: code declares it, and ``force`` is not set.
        """
        stored = yield from self._read(name)
        if not force:
            self._undeclared(stored, "Delete")
        yield lambda store: store.delete_schedule(name)

    # -- let it wait, go on, run ------------------------------------------------------------------------

    def pause(self, name: str) -> Operation[None]:
        """Pause a schedule until `resume`, also across restarts and deploys.

        Raises:
            ScheduleNotFound: it does not exist.
        """
        if not (yield lambda store: store.pause_schedule(name, None)):
            raise self._missing(name)

    def resume(self, name: str) -> Operation[None]:
        """Resume a paused schedule with its first occurrence from now on; one that is not paused stays unchanged.

        Raises:
            ScheduleNotFound: it does not exist.
            DecodeError: it was made by a later release.
        """
        stored = yield from self._read(name)
        next_ms = self._next_ms(stored)
        if not (yield lambda store: store.pause_schedule(name, next_ms)):
            raise self._missing(name)

    def call_now(self, name: str) -> Operation[NewMessage]:
        """Return one call of a schedule, to be enqueued now.

        Raises:
            ScheduleNotFound: it does not exist.
            DecodeError: it was made by a later release.
        """
        stored = yield from self._read(name)
        return self._message(stored, self._owner.store.tags)

    # -- look at them -----------------------------------------------------------------------------------

    def get(self, name: str) -> Operation[Schedule]:
        """Return a schedule.

        Raises:
            ScheduleNotFound: it does not exist.
        """
        return show((yield from self._read(name)), self._wire)

    def list(self, limit: int = 100, after: str = "") -> Operation[builtins.list[Schedule]]:
        """Return schedules in the order of their names, at most 1000; ``after``: the last name seen."""
        return [show(stored, self._wire) for stored in (yield lambda store: store.list_schedules(limit, after))]

    # -- private -----------------------------------------------------------------------------

    def _new(
        self, name: str, call: Signature, schedule: Any, misfire: str, misfire_bound: float | timedelta
    ) -> NewSchedule:
        return definition_of(self._owner, name, call, schedule, misfire, misfire_bound).new_schedule(
            clock_ms(self._owner.store), self._wire
        )

    def _created(self, name: str, put: PutResult) -> None:
        if put not in (PutResult.STORED, PutResult.UNCHANGED):
            raise ScheduleExists(
                f"There is a schedule {name!r} in {self._owner.description}; update it, or choose another name."
            )

    def _changed(self, stored: StoredSchedule, changes: Mapping[str, Any]) -> NewSchedule:
        self._undeclared(stored, "Change")
        known = Definition.decode(stored.definition, stored.name, self._wire)
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
        return changed.new_schedule(clock_ms(self._owner.store), self._wire)

    def _next_ms(self, stored: StoredSchedule) -> int:
        return Definition.decode(stored.definition, stored.name, self._wire).rule.next_ms(clock_ms(self._owner.store))

    def _message(self, stored: StoredSchedule, tags: tuple[str, ...]) -> NewMessage:
        tag = schedule_tag(stored.name, tags)
        definition = Definition.decode(stored.definition, stored.name, self._wire)
        return definition.message(clock_ms(self._owner.store), tag, self._owner.settings, new_id((tag,)))

    def _read(self, name: str) -> Operation[StoredSchedule]:
        stored: StoredSchedule | None
        [stored] = yield lambda store: store.schedules([name])
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


def _put(store: Any, *, new: NewSchedule, revision: int) -> Any:
    return store.put_schedule(new, revision)


def _waiting(new: NewSchedule) -> NewSchedule:
    """Return the same without a next occurrence: it is paused only after it was stored."""
    return new._replace(next_ms=None)
