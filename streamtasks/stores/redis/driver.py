"""Run operations on a server, blocking or asynchronous, and make methods of stores of them.

The operations decide which calls are sent, `connections.Patience` which errors are retried and when, and `conversation`
which calls are sent again with their scripts. The drivers only do the input and output.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import update_wrapper
from inspect import signature
from types import CoroutineType
from typing import Any, Concatenate, cast
from weakref import ref

from redis.exceptions import RedisError

from ...settings import StoreSettings
from . import pools
from .cluster.pools import AsyncClusterPool, ClusterPool, SomeFailed
from .connections import Patience
from .operations.tags import agree
from .scripts import Answer, Call
from .shards import Operation, Request, Shards

__all__ = ["AwaitingDriver", "BlockingDriver", "awaiting", "blocking"]


class BlockingDriver:
    """Runs operations on the calling thread; safe to share between threads and cheap to make.

    Connections come from the process's pool for these settings, so a store survives a fork.
    """

    def __init__(self, settings: StoreSettings, shards: Shards | None = None) -> None:
        self.settings = settings
        self.shards = shards or Shards(settings)
        self._pool_of: tuple[int, pools.Pool | ClusterPool | None] = (0, None)

    @property
    def tags(self) -> tuple[str, ...]:
        """The shards."""
        return self.settings.tags

    def run[T](self, operation: Operation[T]) -> T:
        """Run an operation to its end.

        Raises:
            StoreUnavailable: no answer until the deadline.
            StoreError: the server refuses a call.
            ConfigurationError: the server knows other shards.
        """
        if not self.shards.agreed:
            self.agree()
        return self._run(operation)

    def agree(self, retry_time_s: float | None = None) -> None:
        """Agree with all other processes on the shards.

        Raises:
            ConfigurationError: the server knows others.
        """
        self._run(agree(self.shards, retry_time_s))

    def _run[T](self, operation: Operation[T]) -> T:
        try:
            request = next(operation)
            while True:
                request = operation.send(self._replies(request))
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    def _replies(self, request: list[Call] | Request) -> list[Any]:
        """Send calls and return the replies; send them again after errors that may pass, until the deadline."""
        calls, retry_time_s, behind = request[:3] if isinstance(request, Request) else (request, None, None)
        if not calls and behind is None:
            return []
        patience: Patience | None = None
        since = time.monotonic()
        partial: _Partial | None = None
        while True:
            try:
                if partial is not None:
                    return partial.whole(self.pool().exchange(partial.left, behind))
                return self.pool().exchange(calls, behind)
            except SomeFailed as failed:
                partial = partial or _Partial(calls)
                partial.take(failed)
                patience = patience or Patience(self.settings, retry_time_s, since)
                delay_s = patience.delay_s(failed.error)
            except (RedisError, OSError) as error:
                patience = patience or Patience(self.settings, retry_time_s, since)
                delay_s = patience.delay_s(error)
            time.sleep(delay_s)

    def pool(self) -> pools.Pool | ClusterPool:
        """Return this process's pool."""
        pid = os.getpid()
        if self._pool_of[0] != pid:
            cluster = self.settings.is_cluster
            self._pool_of = (pid, ClusterPool(self.settings) if cluster else pools.sync_pool(self.settings))
        assert self._pool_of[1] is not None
        return self._pool_of[1]


class _Partial:
    """The replies to some of several calls, while the others are sent again.

    A call that is sent again although it was answered, because what was behind it failed, keeps its first reply: that
    one says what is new.
    """

    def __init__(self, calls: list[Call]) -> None:
        self.left = calls
        self._replies: list[Any] = [None] * len(calls)
        self._answers: list[Answer] = []
        self._places = list(range(len(calls)))

    def take(self, failed: SomeFailed) -> None:
        """Take in what was answered of those that were left; what failed is left now."""
        self._learn(failed.replies)
        if self._places:  # else every master is asked again
            self._answers += failed.answers
        self.left = [self.left[place] for place in failed.again]
        self._places = [self._places[place] for place in failed.again]

    def whole(self, replies: Sequence[Any]) -> list[Any]:
        """Return all replies and answers, with the last ones."""
        self._learn(replies[: len(self._places)])
        return self._replies + self._answers + list(replies[len(self._places) :])

    def _learn(self, replies: Sequence[Any]) -> None:
        for place, reply in zip(self._places, replies, strict=True):
            if self._replies[place] is None and not isinstance(reply, Exception):
                self._replies[place] = reply


class AwaitingDriver:
    """Runs operations on the running event loop."""

    def __init__(self, settings: StoreSettings, shards: Shards | None = None) -> None:
        self.settings = settings
        self.shards = shards or Shards(settings)
        self._pool_of: tuple[Callable[[], Any], pools.AsyncPool | AsyncClusterPool] | None = None
        self._answered: dict[str, float] = {}
        self._repeated: set[str] = set()

    @property
    def tags(self) -> tuple[str, ...]:
        """The shards."""
        return self.settings.tags

    async def run[T](self, operation: Operation[T]) -> T:
        """Run an operation to its end; see `BlockingDriver.run`."""
        if not self.shards.agreed:
            await self.agree()
        return await self._run(operation)

    async def agree(self, retry_time_s: float | None = None) -> None:
        """Agree on the shards; see `BlockingDriver.agree`."""
        await self._run(agree(self.shards, retry_time_s))

    async def _run[T](self, operation: Operation[T]) -> T:
        try:
            request = next(operation)
            while True:
                request = operation.send(await self._replies(request))
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    async def _replies(self, request: list[Call] | Request) -> list[Any]:
        """See `BlockingDriver._replies`."""
        calls, retry_time_s, behind = request[:3] if isinstance(request, Request) else (request, None, None)
        if not calls and behind is None:
            return []
        patience: Patience | None = None
        since = time.monotonic()
        partial: _Partial | None = None
        while True:
            try:
                replies = await (await self.pool()).exchange(calls if partial is None else partial.left, behind)
            except SomeFailed as failed:
                if isinstance(request, Request) and request.partial and failed.some_succeeded:
                    return failed.replies
                partial = partial or _Partial(calls)
                partial.take(failed)
                self._repeated.update(call.tag for call in partial.left)
                patience = patience or Patience(self.settings, retry_time_s, since)
                delay_s = patience.delay_s(failed.error)
            except (RedisError, OSError) as error:
                self._repeated.update(call.tag for call in calls)
                patience = patience or Patience(self.settings, retry_time_s, since)
                delay_s = patience.delay_s(error)
            else:
                now = time.monotonic()
                self._answered.update((call.tag, now) for call in (calls if len(self.tags) > 1 else calls[:1]))
                return replies if partial is None else partial.whole(replies)
            await asyncio.sleep(delay_s)

    def answered_at(self, tag: str) -> float:
        """See `SupervisorStore.answered_at`."""
        return self._answered.get(tag, 0.0)

    def repeated(self) -> set[str]:
        """See `SupervisorStore.repeated`."""
        found, self._repeated = self._repeated, set()
        return found

    async def pool(self) -> pools.AsyncPool | AsyncClusterPool:
        """Return the running event loop's pool."""
        loop = asyncio.get_running_loop()
        known = self._pool_of
        if known is None or known[0]() is not loop:
            cluster = self.settings.is_cluster
            pool = AsyncClusterPool(self.settings) if cluster else await pools.async_pool(self.settings)
            known = self._pool_of = (ref(loop), pool)
        return known[1]


def blocking[**P, T](
    operation: Callable[Concatenate[Shards, P], Operation[T]],
) -> Callable[Concatenate[BlockingDriver, P], T]:
    """Make an operation a method of blocking stores, with the operation's own signature."""
    patience_at = _patience_at(operation)

    def method(self: BlockingDriver, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if not self.shards.agreed:
            self.agree(_patience_s(self.settings, patience_at, args, kwargs))
        return self.run(operation(self.shards, *args, **kwargs))

    return update_wrapper(method, operation)


def awaiting[**P, T](
    operation: Callable[Concatenate[Shards, P], Operation[T]],
) -> Callable[Concatenate[AwaitingDriver, P], CoroutineType[Any, Any, T]]:
    """Make an operation an asynchronous method, with the operation's own signature."""
    patience_at = _patience_at(operation)

    async def method(self: AwaitingDriver, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if not self.shards.agreed:
            await self.agree(_patience_s(self.settings, patience_at, args, kwargs))
        return await self.run(operation(self.shards, *args, **kwargs))

    # A coroutine function returns a `CoroutineType`, which pyright requires of methods and mypy does not infer.
    return cast(
        "Callable[Concatenate[AwaitingDriver, P], CoroutineType[Any, Any, T]]", update_wrapper(method, operation)
    )


def _patience_at(operation: Callable[..., Any]) -> int | None:
    """Return the place of ``retry_time_s`` among the arguments of an operation that enqueues; None: of another one."""
    names = list(signature(operation).parameters)
    return names.index("retry_time_s") - 1 if "retry_time_s" in names else None


def _patience_s(
    settings: StoreSettings, at: int | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> float | None:
    """Return for how long a call is repeated, seconds; None: as settings say of any."""
    if at is None:
        return None
    given: float | None = kwargs.get("retry_time_s", args[at] if len(args) > at else None)
    return settings.enqueue_retry_s if given is None else given
