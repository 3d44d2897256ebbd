"""The transitions of one shard as methods of stores, blocking and asynchronous: a line in each of two classes.

The store in memory and the one in SQL have these methods; they differ in how they get at a shard. What concerns
several shards at once is written out in `store.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from types import CoroutineType
from typing import Any, Concatenate, Protocol, cast

from ...protocol.shards import schedule_tag, tag_of
from . import (
    beat,
    charge,
    delete_finished,
    hand_back,
    holdings,
    logs,
    mark_running,
    progress,
    promote,
    queues,
    reclaim,
    renew,
    revoke,
    schedules,
    series,
    settle,
    standing,
    unfold,
    workflows,
)
from .shard import Shard

__all__ = ["AsyncTransitions", "Transitions", "awaiting"]


class OnShards(Protocol):
    """A store that makes steps on its shards."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The shards."""
        ...

    def on_shard[T](self, tag: str, work: Callable[[Shard], T], *, changes: bool) -> T:
        """Call ``work`` with a shard in one step and return its answer; without ``changes`` it only reads."""
        ...


class Calls(Protocol):
    """An asynchronous store that has its blocking one called."""

    async def call[**P, T](self, blocking: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the blocking store."""
        ...


def by_tag[**P, T](
    transition: Callable[Concatenate[Shard, P], T], *, changes: bool = True
) -> Callable[Concatenate[OnShards, str, P], T]:
    """Make a transition a method that takes the shard's tag first; without ``changes`` nobody is woken by it."""

    def method(self: OnShards, tag: str, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.on_shard(tag, lambda shard: transition(shard, *args, **kwargs), changes=changes)

    return update_wrapper(method, transition)


def by_id[**P, T](
    transition: Callable[Concatenate[Shard, str, P], T],
    *,
    changes: bool = True,
    select: Callable[[str, tuple[str, ...]], str] = tag_of,
) -> Callable[Concatenate[OnShards, str, P], T]:
    """Make a transition a method that takes an id first, which ``select`` maps to a tag; see `by_tag`."""

    def method(self: OnShards, key: str, /, *args: P.args, **kwargs: P.kwargs) -> T:
        tag = select(key, self.tags)
        return self.on_shard(tag, lambda shard: transition(shard, key, *args, **kwargs), changes=changes)

    return update_wrapper(method, transition)


def on_first[**P, T](
    transition: Callable[Concatenate[Shard, P], T], *, changes: bool = True
) -> Callable[Concatenate[OnShards, P], T]:
    """Make a transition a method of what lies on the first shard; see `by_tag`."""

    def method(self: OnShards, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.on_shard(self.tags[0], lambda shard: transition(shard, *args, **kwargs), changes=changes)

    return update_wrapper(method, transition)


def awaiting[**P, T](
    blocking: Callable[Concatenate[Any, P], T],
) -> Callable[Concatenate[Calls, P], CoroutineType[Any, Any, T]]:
    """Make an asynchronous method of a blocking one; the signature stays."""

    async def method(self: Calls, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.call(blocking, *args, **kwargs)

    return cast("Callable[Concatenate[Calls, P], CoroutineType[Any, Any, T]]", update_wrapper(method, blocking))


class Transitions:
    """The blocking methods."""

    # `revoke` names the module until its line.
    revocations = by_tag(revoke.revocations, changes=False)
    revoke = by_id(revoke.revoke)
    workflow = by_id(workflows.workflow, changes=False)
    gather = by_id(workflows.gather, changes=False)
    revoke_workflow = by_id(unfold.revoke_workflow)
    standing = by_id(standing.standing, changes=False)
    delete_result = by_id(delete_finished.delete_result)
    logs = by_id(logs.logs, changes=False)
    delete_schedule = by_id(schedules.delete, select=schedule_tag)
    pause_schedule = by_id(schedules.pause, select=schedule_tag)

    # For keepers. `series` names the module until its last line.
    add_series = on_first(series.add)
    note_release = on_first(series.note_release)
    series = on_first(series.read, changes=False)
    declare_schedules = by_tag(schedules.declare)
    undeclare_schedules = by_tag(schedules.undeclare)
    shard_schedules = by_tag(schedules.page, changes=False)
    due_schedules = by_tag(schedules.due, changes=False)
    settle = by_tag(settle.settle)
    hand_back = by_tag(hand_back.hand_back)
    holdings = by_tag(holdings.holdings, changes=False)
    charge = by_tag(charge.charge)
    reclaim = by_tag(reclaim.reclaim)
    promote = by_tag(promote.promote)
    unfold = by_tag(unfold.unfold)
    mark_running = by_tag(mark_running.mark_running)
    progress = by_tag(progress.progress)
    renew = by_tag(renew.renew)
    beat = by_tag(beat.beat)
    sweep = by_tag(queues.sweep)
    expire_results = by_tag(delete_finished.expire_results)


class AsyncTransitions:
    """The same for event loops."""

    revocations = awaiting(Transitions.revocations)
    revoke = awaiting(Transitions.revoke)
    workflow = awaiting(Transitions.workflow)
    gather = awaiting(Transitions.gather)
    revoke_workflow = awaiting(Transitions.revoke_workflow)
    standing = awaiting(Transitions.standing)
    delete_result = awaiting(Transitions.delete_result)
    logs = awaiting(Transitions.logs)
    delete_schedule = awaiting(Transitions.delete_schedule)
    pause_schedule = awaiting(Transitions.pause_schedule)

    add_series = awaiting(Transitions.add_series)
    note_release = awaiting(Transitions.note_release)
    declare_schedules = awaiting(Transitions.declare_schedules)
    undeclare_schedules = awaiting(Transitions.undeclare_schedules)
    shard_schedules = awaiting(Transitions.shard_schedules)
    due_schedules = awaiting(Transitions.due_schedules)
    settle = awaiting(Transitions.settle)
    hand_back = awaiting(Transitions.hand_back)
    holdings = awaiting(Transitions.holdings)
    charge = awaiting(Transitions.charge)
    reclaim = awaiting(Transitions.reclaim)
    promote = awaiting(Transitions.promote)
    unfold = awaiting(Transitions.unfold)
    mark_running = awaiting(Transitions.mark_running)
    progress = awaiting(Transitions.progress)
    renew = awaiting(Transitions.renew)
    beat = awaiting(Transitions.beat)
    sweep = awaiting(Transitions.sweep)
    expire_results = awaiting(Transitions.expire_results)
