"""The async driver: the same operations on an event loop, for `aenqueue` and for supervisors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Sequence
from typing import Any
from weakref import ref

from redis.exceptions import RedisError

from ...protocol.state import DeadLetter, Snapshot
from ...settings import StoreSettings
from ..types import (
    Active,
    Admission,
    Alive,
    Ask,
    Charge,
    Claimed,
    Events,
    Grant,
    NewMessage,
    NewWorkflow,
    Outcome,
    Promotion,
    Reclaim,
    Revocation,
    Settled,
    Statistics,
    Void,
    WorkerInfo,
    WorkflowCounts,
)
from . import connections, inspection, pools, workflows
from .conversation import aexchange
from .operations import Operation, Operations
from .schedule_store import AsyncRedisSchedules

__all__ = ["AsyncRedisStore"]


class AsyncRedisStore(AsyncRedisSchedules):
    """What `RedisStore` does, natively asynchronous, and all that a supervisor needs."""

    def __init__(self, settings: StoreSettings, operations: Operations | None = None) -> None:
        self.settings = settings
        self.operations = operations or Operations(settings)
        self._pool_of: tuple[Callable[[], Any], pools.AsyncPool] | None = None

    @property
    def tags(self) -> tuple[str, ...]:
        """The shards."""
        return self.settings.tags

    async def enqueue(self, messages: Sequence[NewMessage], patience_s: float | None = None) -> list[bool]:
        """See `Store.enqueue`."""
        return await self._run(self.operations.enqueue(messages), patience_s)

    async def read(self, ids: Sequence[str]) -> list[Snapshot | None]:
        """See `Store.read`."""
        return await self._run(self.operations.read(ids))

    async def wait_finished(self, ids: Sequence[str], timeout_s: float | None) -> set[str]:
        """See `Store.wait_finished`."""
        return await self._wait(ids, timeout_s, lambda: self._finished(ids))

    async def _wait[T](self, ids: Sequence[str], timeout_s: float | None, look: Callable[[], Awaitable[T]]) -> T:
        """Look whenever one of these ids is told to be finished, until there is something or the time is up."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if timeout_s is not None and timeout_s <= 0:
            return await look()
        channels = {self.operations.shards[self.operations.tag_of(i)].keys.done_channel(i) for i in ids}
        wanted = {task_id.encode() for task_id in ids}
        connection = await self._subscribed(channels)
        try:
            while True:
                found = await look()
                left = 1.0 if deadline is None else min(1.0, deadline - time.monotonic())
                if found or left <= 0:
                    return found
                if connection is None:
                    await asyncio.sleep(left)
                elif not await self._pushed(connection, wanted, time.monotonic() + left):
                    await connection.disconnect(nowait=True)
                    connection = None
        finally:
            if connection is not None:
                await connection.disconnect()

    @staticmethod
    async def _pushed(connection: Any, wanted: set[bytes], until: float) -> bool:
        """Return when one of these ids is told to be finished, or at ``until``; False: the connection broke."""
        try:
            while (left := until - time.monotonic()) > 0:
                # Its own timeout leaves the connection whole; cancelling the read would close it.
                told = await connection.read_response(timeout=left)
                if told and told[0] == b"smessage" and not wanted.isdisjoint(told[2].split(b" ")):
                    return True
        except (RedisError, OSError):
            return False
        return True

    async def revoke(self, task_id: str, *, terminate: bool = False) -> Revocation:
        """See `Store.revoke`."""
        return await self._run(self.operations.revoke(task_id, terminate))

    async def start_workflow(self, new: NewWorkflow) -> bool:
        """See `Store.start_workflow`."""
        return await self._run(workflows.start(self.operations, new))

    async def workflow(self, workflow_id: str, fan_ins: Sequence[int] = ()) -> WorkflowCounts | None:
        """See `Store.workflow`."""
        return await self._run(workflows.counts(self.operations, workflow_id, fan_ins))

    async def wait_workflow(
        self, workflow_id: str, fan_in: int | None, timeout_s: float | None, *, failure: bool
    ) -> bool:
        """See `Store.wait_workflow`."""

        async def look() -> bool:
            return await self._run(workflows.is_over(self.operations, workflow_id, fan_in, failure=failure))

        return await look() or await self._wait([workflow_id], timeout_s, look)

    async def gather(self, workflow_id: str, field: str) -> list[bytes]:
        """See `Store.gather`."""
        return await self._run(workflows.gather(self.operations, workflow_id, field))

    async def revoke_workflow(self, workflow_id: str, fan_in: int | None = None, *, terminate: bool = False) -> bool:
        """See `Store.revoke_workflow`."""
        return await self._run(workflows.cancel(self.operations, workflow_id, fan_in, terminate=terminate))

    async def unfold(self, tag: str) -> int | None:
        """See `SupervisorStore.unfold`."""
        return await self._run(workflows.unfold_due(self.operations, tag))

    async def doomed(self, tag: str, claimed: Sequence[Claimed]) -> list[str]:
        """See `SupervisorStore.doomed`."""
        return await self._run(self.operations.doomed(tag, claimed))

    async def watch(self, task_id: str) -> AsyncIterator[Snapshot]:
        """See `AsyncStore.watch`."""
        keys = self.operations.shards[self.operations.tag_of(task_id)].keys
        channels = {keys.done_channel(task_id), keys.news_channel(task_id)}
        connection = await self._subscribed(channels)
        try:
            while True:
                [snapshot] = await self.read([task_id])
                if snapshot is None:
                    return
                yield snapshot
                if snapshot.is_finished:
                    return
                look_again = time.monotonic() + 1.0
                if connection is None:
                    await asyncio.sleep(1.0)
                    connection = await self._subscribed(channels)
                elif not await self._pushed(connection, {task_id.encode()}, look_again):
                    await connection.disconnect(nowait=True)
                    connection = None
        finally:
            if connection is not None:
                await connection.disconnect(nowait=True)

    async def events(self, after: str = "", limit: int = 100) -> Events:
        """See `Store.events`."""
        return await self._run(inspection.events(self.operations, after, limit))

    async def active(self, limit: int = 100) -> list[Active]:
        """See `Store.active`."""
        return await self._run(inspection.active(self.operations, limit))

    async def statistics(self) -> Statistics:
        """See `Store.statistics`."""
        return await self._run(inspection.statistics(self.operations))

    async def workers(self) -> list[WorkerInfo]:
        """See `Store.workers`."""
        return await self._run(inspection.workers(self.operations))

    async def forget(self, before_ms: int) -> int:
        """See `Store.forget`."""
        return await self._run(inspection.forget(self.operations, before_ms))

    async def forget_result(self, task_id: str) -> bool:
        """See `Store.forget_result`."""
        return await self._run(inspection.forget_result(self.operations, task_id))

    async def dead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """See `Store.dead_letters`."""
        return await self._run(inspection.dead_letters(self.operations, limit, before))

    async def settle(self, tag: str, outcomes: Sequence[Outcome], callbacks: str = "") -> list[Settled]:
        """See `SupervisorStore.settle`."""
        return await self._run(self.operations.settle(tag, outcomes, callbacks))

    async def hand_back(
        self,
        tag: str,
        claimed: Sequence[Claimed],
        *,
        void: Void | None = None,
        gone: bool = False,
        alone: Container[str] = (),
    ) -> list[bool]:
        """See `SupervisorStore.hand_back`."""
        return await self._run(self.operations.hand_back(tag, claimed, void, gone, alone))

    async def charge(self, tag: str, attempts: Sequence[tuple[Claimed, int, str]]) -> list[Charge]:
        """See `SupervisorStore.charge`."""
        return await self._run(self.operations.charge(tag, attempts))

    async def promote(self, tag: str) -> Promotion:
        """See `SupervisorStore.promote`."""
        return await self._run(self.operations.promote(tag))

    async def admit(self, tag: str, grants: Sequence[Grant]) -> Admission:
        """See `SupervisorStore.admit`."""
        return await self._run(self.operations.admit(tag, grants))

    async def take(self, asks: Sequence[Ask]) -> list[Grant]:
        """See `SupervisorStore.take`."""
        return await self._run(self.operations.take(asks))

    async def reclaim(self, tag: str) -> Reclaim:
        """See `SupervisorStore.reclaim`."""
        return await self._run(self.operations.reclaim(tag))

    async def mark_running(self, tag: str, attempts: Sequence[tuple[Claimed, int]]) -> list[bool]:
        """See `SupervisorStore.mark_running`."""
        return await self._run(self.operations.mark_running(tag, attempts))

    async def renew(self, tag: str, tokens: Sequence[str]) -> list[bool]:
        """See `SupervisorStore.renew`."""
        return await self._run(self.operations.renew(tag, tokens))

    async def beat(self, tag: str, worker: str, info: dict[str, Any] | None) -> Alive:
        """See `SupervisorStore.beat`."""
        return await self._run(self.operations.beat(tag, worker, info))

    async def sweep(self, tag: str, idle_ms: int) -> int:
        """See `SupervisorStore.sweep`."""
        return await self._run(self.operations.sweep(tag, idle_ms))

    async def progress(self, tag: str, reports: Sequence[tuple[Claimed, bytes]]) -> list[bool]:
        """See `SupervisorStore.progress`."""
        return await self._run(self.operations.progress(tag, reports))

    async def listen(self) -> AsyncIterator[tuple[str, str]]:
        """Yield control messages as (tag, text); ends when the connection breaks.

        Raises:
            StoreUnavailable: the connection broke.
        """
        tags = {shard.keys.control: tag for tag, shard in self.operations.shards.items()}
        connection = await self._subscribed(set(tags))
        if connection is None:
            raise connections.unavailable(self.settings, ConnectionError("could not subscribe"))
        try:
            yield "", "subscribed"
            while True:
                told = await connection.read_response()
                if told[0] == b"smessage":
                    yield tags[told[1].decode()], told[2].decode()
        except (RedisError, OSError) as error:
            raise connections.unavailable(self.settings, error) from error
        finally:
            await connection.disconnect(nowait=True)

    async def command(self, *words: Any) -> Any:
        """Send one plain command; for checks at start."""
        return await self._patiently(lambda connection: _plain(connection, words))

    async def _finished(self, ids: Sequence[str]) -> set[str]:
        return {s.id for s in await self.read(ids) if s is not None and s.is_finished}

    async def _subscribed(self, channels: set[str]) -> Any:
        """Return a connection of its own that is subscribed, None if that is not possible now."""
        connection: Any = connections.new_async_connection(self.settings)
        try:
            await connection.connect()
            for channel in channels:
                await connection.send_command("SSUBSCRIBE", channel)
                await connection.read_response()
            connection.socket_timeout = None  # from now on it is right that nothing is said for long
        except (RedisError, OSError) as error:
            await connection.disconnect(nowait=True)
            lasting = connections.lasting_error(error, self.settings)
            if lasting is not None:
                raise lasting from error
            return None
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def _run[T](self, operation: Operation[T], patience_s: float | None = None) -> T:
        try:
            requests = next(operation)
            while True:
                some = requests
                replies = (
                    await self._patiently(lambda connection, some=some: aexchange(connection, some), patience_s)
                    if some
                    else []
                )
                requests = operation.send(replies)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    async def _patiently(self, send: Any, patience_s: float | None = None) -> Any:
        """Do one exchange, again and again until the deadline."""
        patience = connections.Patience(self.settings, patience_s)
        while True:
            try:
                async with (await self._pool()).lend() as connection:
                    return await send(connection)
            except (RedisError, OSError) as error:
                delay = patience.delay_s(error)
            await asyncio.sleep(delay)

    async def _pool(self) -> pools.AsyncPool:
        loop = asyncio.get_running_loop()
        known = self._pool_of
        if known is None or known[0]() is not loop:
            known = self._pool_of = (ref(loop), await pools.async_pool(self.settings))
        return known[1]


async def _plain(connection: Any, words: tuple[Any, ...]) -> Any:
    await connection.send_command(*words, check_health=False)
    return await connection.read_response()
