"""Run operations on a server, blocking or asynchronous, and make methods of stores of them.

The operations decide which calls are sent, `connections.Patience` which errors are retried and when, and `conversation`
which calls are sent again with their scripts. The drivers only do the input and output.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from functools import update_wrapper
from types import CoroutineType
from typing import Any, Concatenate, cast
from weakref import ref

from redis.exceptions import RedisError

from ...settings import StoreSettings
from . import pools
from .connections import Patience
from .scripts import Call
from .shards import Operation, Request, Shards

__all__ = ["AwaitingDriver", "BlockingDriver", "awaiting", "blocking"]


class BlockingDriver:
    """Runs operations on the calling thread; safe to share between threads and cheap to make.

    Connections come from the process's pool for these settings, so a store survives a fork.
    """

    def __init__(self, settings: StoreSettings, shards: Shards | None = None) -> None:
        self.settings = settings
        self.shards = shards or Shards(settings)
        self._pool_of: tuple[int, pools.Pool | None] = (0, None)

    @property
    def tags(self) -> tuple[str, ...]:
        """The shards."""
        return self.settings.tags

    def run[T](self, operation: Operation[T]) -> T:
        """Run an operation to its end.

        Raises:
            StoreUnavailable: no answer until the deadline.
            StoreError: the server refuses a call.
        """
        try:
            request = next(operation)
            while True:
                request = operation.send(self._replies(request))
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    def _replies(self, request: list[Call] | Request) -> list[Any]:
        """Send calls and return the replies; send them again after errors that may pass, until the deadline."""
        calls, retry_time_s, behind = request if isinstance(request, Request) else (request, None, None)
        if not calls and behind is None:
            return []
        patience: Patience | None = None
        since = time.monotonic()
        while True:
            try:
                return self.pool().exchange(calls, behind)
            except (RedisError, OSError) as error:
                patience = patience or Patience(self.settings, retry_time_s, since)
                delay_s = patience.delay_s(error)
            time.sleep(delay_s)

    def pool(self) -> pools.Pool:
        """Return this process's pool."""
        pid = os.getpid()
        if self._pool_of[0] != pid:
            self._pool_of = (pid, pools.sync_pool(self.settings))
        assert self._pool_of[1] is not None
        return self._pool_of[1]


class AwaitingDriver:
    """Runs operations on the running event loop."""

    def __init__(self, settings: StoreSettings, shards: Shards | None = None) -> None:
        self.settings = settings
        self.shards = shards or Shards(settings)
        self._pool_of: tuple[Callable[[], Any], pools.AsyncPool] | None = None
        self._answered: dict[str, float] = {}

    @property
    def tags(self) -> tuple[str, ...]:
        """The shards."""
        return self.settings.tags

    async def run[T](self, operation: Operation[T]) -> T:
        """Run an operation to its end; see `BlockingDriver.run`."""
        try:
            request = next(operation)
            while True:
                request = operation.send(await self._replies(request))
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    async def _replies(self, request: list[Call] | Request) -> list[Any]:
        """See `BlockingDriver._replies`."""
        calls, retry_time_s, behind = request if isinstance(request, Request) else (request, None, None)
        if not calls and behind is None:
            return []
        patience: Patience | None = None
        since = time.monotonic()
        while True:
            try:
                replies = await (await self.pool()).exchange(calls, behind)
            except (RedisError, OSError) as error:
                patience = patience or Patience(self.settings, retry_time_s, since)
                delay_s = patience.delay_s(error)
            else:
                if calls:
                    self._answered[calls[0].tag] = time.monotonic()
                return replies
            await asyncio.sleep(delay_s)

    def answered_at(self, tag: str) -> float:
        """See `SupervisorStore.answered_at`."""
        return self._answered.get(tag, 0.0)

    async def pool(self) -> pools.AsyncPool:
        """Return the running event loop's pool."""
        loop = asyncio.get_running_loop()
        known = self._pool_of
        if known is None or known[0]() is not loop:
            known = self._pool_of = (ref(loop), await pools.async_pool(self.settings))
        return known[1]


def blocking[**P, T](
    operation: Callable[Concatenate[Shards, P], Operation[T]],
) -> Callable[Concatenate[BlockingDriver, P], T]:
    """Make an operation a method of blocking stores, with the operation's own signature."""

    def method(self: BlockingDriver, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(operation(self.shards, *args, **kwargs))

    return update_wrapper(method, operation)


def awaiting[**P, T](
    operation: Callable[Concatenate[Shards, P], Operation[T]],
) -> Callable[Concatenate[AwaitingDriver, P], CoroutineType[Any, Any, T]]:
    """Make an operation an asynchronous method, with the operation's own signature."""

    async def method(self: AwaitingDriver, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(operation(self.shards, *args, **kwargs))

    # A coroutine function returns a `CoroutineType`, which pyright requires of methods and mypy does not infer.
    return cast(
        "Callable[Concatenate[AwaitingDriver, P], CoroutineType[Any, Any, T]]", update_wrapper(method, operation)
    )
