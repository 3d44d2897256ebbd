"""Exchanges with several masters at once: what concerns one of them goes there in one packet, to all in parallel."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from redis.exceptions import RedisError, ResponseError

from ....settings import StoreSettings
from ..connections import note_server
from ..conversation import exchange_each, passing
from ..endpoints import endpoint_of
from ..faults import fault_of
from ..logins import log_in_again
from ..pools import Pool, async_pool, sync_pool
from ..scripts import Answer, Behind, BehindOf, Call
from .masters import Masters, masters_of

__all__ = ["AsyncClusterPool", "ClusterPool", "SomeFailed"]


class SomeFailed(RedisError):
    """Some of several calls failed, or what was behind them.

    Attributes:
        replies: to each call, errors as values.
        answers: of the masters that answered all that they were sent.
        again: the places of the calls that are to be sent again.
        error: the first error.
    """

    def __init__(self, replies: list[Any], answers: list[Answer], again: list[int], error: Exception) -> None:
        super().__init__(str(error))
        self.replies = replies
        self.answers = answers
        self.again = again
        self.error = error

    @property
    def some_succeeded(self) -> bool:
        """Whether any of the calls was answered."""
        return any(not isinstance(reply, Exception) for reply in self.replies)


class _Group(NamedTuple):
    """What one master is sent."""

    settings: StoreSettings
    master: str
    places: list[int]
    behind: Behind | None


def _grouped(masters: Masters, tags: Iterable[str], calls: Sequence[Call], behind: BehindOf | None) -> list[_Group]:
    """Group calls by the master of their shards, always in the same order of masters; without calls: all masters."""
    groups: dict[str, tuple[StoreSettings, list[int]]] = {}
    for place, call in enumerate(calls):
        settings = masters.of(call.tag)
        groups.setdefault(settings.url, (settings, []))[1].append(place)
    if not calls:
        groups = {settings.url: (settings, []) for settings in map(masters.of, tags)}
    found = []
    for url in sorted(groups):
        settings, places = groups[url]
        master = endpoint_of(settings).address
        found.append(_Group(settings, master, places, behind(master) if behind is not None else None))
    return found


def _whole(masters: Masters, count: int, groups: Sequence[_Group], answered: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the replies in the order of the calls, and an `Answer` of each master if something was behind.

    Raises:
        SomeFailed: there are errors among them. Where something was behind, all that its master was sent is to be sent
            again: it must stand behind whatever wrote.
    """
    replies: list[Any] = [None] * count
    answers, again, errors = [], [], []
    for group, some in zip(groups, answered, strict=True):
        for place, reply in zip(group.places, some, strict=False):
            replies[place] = reply
        of_calls, late = some[: len(group.places)], list(some[len(group.places) :])
        wrong = [reply for reply in of_calls if isinstance(reply, Exception)] + passing(late)
        for error in wrong:
            note_server(error, group.master)
        errors += wrong
        if wrong:
            whole = group.behind is not None
            again += [place for place in group.places if whole or isinstance(replies[place], Exception)]
        elif group.behind is not None:
            answers.append(Answer(group.master, group.behind, late))
    for error in errors:
        masters.note(error)
    if errors:
        raise SomeFailed(replies, answers, sorted(again), errors[0])
    return replies + answers


class ClusterPool:
    """The connections of one process to the masters of a Cluster."""

    def __init__(self, settings: StoreSettings) -> None:
        self.masters = masters_of(settings)
        self._tags = settings.tags

    def exchange(self, calls: Sequence[Call], behind: BehindOf | None = None) -> list[Any]:
        """Send calls, all masters at once, and return the replies; see `Request` for what is behind.

        Raises:
            SomeFailed: a connection broke, or a call was answered with an error.
            RedisError: nothing was sent.
        """
        if self.masters.wants_look:
            self.masters.refresh()
        groups = _grouped(self.masters, self._tags, calls, behind)
        pools = [sync_pool(group.settings) for group in groups]
        taken: list[tuple[Pool, Any]] = []
        try:
            for pool in pools:
                taken.append((pool, pool.get()))  # noqa: PERF401 - what was taken is given back if the next fails
            for _, connection in taken:
                log_in_again(connection)
            talks = [
                (connection, [calls[place] for place in group.places], group.behind)
                for (_, connection), group in zip(taken, groups, strict=True)
            ]
            answers = exchange_each(talks)
            for (pool, connection), replies in zip(taken, answers, strict=True):
                _tidy(pool, connection, replies)
        except BaseException:
            for _, connection in taken:
                connection.disconnect()
            raise
        finally:
            for pool, connection in taken:
                pool.put(connection)
        return _whole(self.masters, len(calls), groups, answers)

    def pool_of(self, tag: str) -> Pool:
        """Return the pool of the master of a shard.

        Raises:
            RedisError: it is not known.
        """
        if self.masters.wants_look:
            self.masters.refresh()
        return sync_pool(self.masters.of(tag))


def _tidy(pool: Pool, connection: Any, replies: Sequence[Any]) -> None:
    faults = [fault_of(reply) for reply in replies if isinstance(reply, Exception)]
    if any(fault.spoils for fault in faults):
        connection.disconnect()
    if any(fault.spoils_idle for fault in faults):
        pool.disconnect_idle()


class AsyncClusterPool:
    """The same for one event loop."""

    def __init__(self, settings: StoreSettings) -> None:
        self.masters = masters_of(settings)
        self._tags = settings.tags

    async def exchange(self, calls: Sequence[Call], behind: BehindOf | None = None) -> list[Any]:
        """See `ClusterPool.exchange`.

        Raises:
            SomeFailed: a connection broke, or a call was answered with an error.
            RedisError: nothing was sent.
        """
        if self.masters.wants_look:
            await self.masters.arefresh()
        groups = _grouped(self.masters, self._tags, calls, behind)
        answers = await asyncio.gather(
            *(_exchange(self.masters, group, [calls[place] for place in group.places]) for group in groups)
        )
        return _whole(self.masters, len(calls), groups, answers)


async def _exchange(masters: Masters, group: _Group, calls: Sequence[Call]) -> list[Any]:
    """Return the replies of one master, errors as values."""
    pool, behind = await async_pool(group.settings), group.behind
    error = masters.absence(group.master)
    if error is None:
        try:
            if behind is None:
                replies = await pool.exchange(calls, raises=False)
            else:
                *replies, answer = await pool.exchange(calls, lambda _: behind, raises=False)
                replies += answer.replies
        except (RedisError, OSError) as raised:
            error = raised
            if not isinstance(raised, ResponseError):
                masters.note_reached(group.master, raised)
        else:
            masters.note_reached(group.master, None)
            return replies
    return [error] * (len(calls) + (len(behind.commands) if behind is not None else 0))
