"""`AsyncStore` and `SupervisorStore` in the memory of this process. Nothing in it ever waits for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Container, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from ...protocol.shards import limiter_tag
from ...protocol.state import DeadLetter, Snapshot
from ...settings import StoreSettings
from ..tokens import TokenGrant
from ..types import (
    Active,
    Admission,
    Charge,
    Claimed,
    ClaimId,
    Events,
    Heartbeat,
    NewMessage,
    NewWorkflow,
    Outcome,
    Promotion,
    Reclaim,
    Revocation,
    Settled,
    Statistics,
    WorkerInfo,
    WorkflowCounts,
)
from . import enqueue, hand_back, limits, revoke, settle, upkeep, workflows
from .schedule_store import AsyncMemorySchedules
from .server import MemoryServer
from .store import MemoryStore

__all__ = ["AsyncMemoryStore"]

LOOK_S = 1.0
"""Who watches a task is told of it this often, seconds, also without news."""


class AsyncMemoryStore(AsyncMemorySchedules):
    """What `MemoryStore` does, on an event loop, and all that a supervisor needs; arguments as there."""

    def __init__(self, settings: StoreSettings, server: MemoryServer | None = None) -> None:
        self.settings = settings
        self.plain = MemoryStore(settings, server)
        self.server = self.plain.server

    @property
    def tags(self) -> tuple[str, ...]:
        """The shards."""
        return self.settings.tags

    async def enqueue(self, messages: Sequence[NewMessage], patience_s: float | None = None) -> list[bool]:
        """See `Store.enqueue`."""
        return self.plain.enqueue(messages, patience_s)

    async def read(self, ids: Sequence[str]) -> list[Snapshot | None]:
        """See `Store.read`."""
        return self.plain.read(ids)

    async def wait_finished(self, ids: Sequence[str], timeout_s: float | None) -> list[Snapshot]:
        """See `Store.wait_finished`."""
        return await self._until(timeout_s, lambda: self.plain.finished(ids))

    async def _until[T](self, timeout_s: float | None, look: Callable[[], T]) -> T:
        """Look whenever something is finished, until there is something or the time is up."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._heard() as heard:
            while not (found := look()):
                left_s = None if deadline is None else deadline - time.monotonic()
                if left_s is not None and left_s <= 0:
                    break
                try:
                    async with asyncio.timeout(left_s):
                        while (await heard.get())[0] != "done":
                            continue
                except TimeoutError:
                    continue
            return found

    async def revoke(self, task_id: str, *, terminate: bool = False) -> Revocation:
        """See `Store.revoke`."""
        return self.plain.revoke(task_id, terminate=terminate)

    async def start_workflow(self, new: NewWorkflow) -> bool:
        """See `Store.start_workflow`."""
        return self.plain.start_workflow(new)

    async def workflow(self, workflow_id: str, fan_ins: Sequence[int] = ()) -> WorkflowCounts | None:
        """See `Store.workflow`."""
        return self.plain.workflow(workflow_id, fan_ins)

    async def wait_workflow(
        self, workflow_id: str, fan_in: int | None, timeout_s: float | None, *, failure: bool
    ) -> bool:
        """See `Store.wait_workflow`."""
        found = await self._until(timeout_s, lambda: self.plain.is_over(workflow_id, fan_in, failure=failure))
        return bool(found)

    async def gather(self, workflow_id: str, field: str) -> list[bytes]:
        """See `Store.gather`."""
        return self.plain.gather(workflow_id, field)

    async def revoke_workflow(self, workflow_id: str, fan_in: int | None = None, *, terminate: bool = False) -> bool:
        """See `Store.revoke_workflow`."""
        return self.plain.revoke_workflow(workflow_id, fan_in, terminate=terminate)

    async def unfold(self, tag: str) -> int | None:
        """See `SupervisorStore.unfold`."""
        with self.server.step():
            shard = self.plain.shard(tag)
            for workflow_id in sorted(shard.unfolding):
                self.plain.unfold(shard, workflow_id)
            at_ms = workflows.next_look_ms(shard)
            return None if at_ms is None else max(0, at_ms - shard.now_ms())

    async def watch(self, task_id: str) -> AsyncIterator[Snapshot]:
        """See `AsyncStore.watch`."""
        with self._heard() as heard:
            while True:
                [snapshot] = self.plain.read([task_id])
                if snapshot is None:
                    return
                yield snapshot
                if snapshot.is_finished:
                    return
                await self._news_of(heard, task_id)

    @staticmethod
    async def _news_of(heard: asyncio.Queue[tuple[str, str, str]], task_id: str) -> None:
        """Return when there is news of a task, or after a second."""
        try:
            async with asyncio.timeout(LOOK_S):
                while True:
                    channel, _, text = await heard.get()
                    if channel in ("done", "news") and text == task_id:
                        return
        except TimeoutError:
            return

    async def events(self, after: str = "", limit: int = 100) -> Events:
        """See `Store.events`."""
        return self.plain.events(after, limit)

    async def active(self, limit: int = 100) -> list[Active]:
        """See `Store.active`."""
        return self.plain.active(limit)

    async def statistics(self) -> Statistics:
        """See `Store.statistics`."""
        return self.plain.statistics()

    async def workers(self) -> list[WorkerInfo]:
        """See `Store.workers`."""
        return self.plain.workers()

    async def delete_finished(self, before_ms: int) -> int:
        """See `Store.delete_finished`."""
        return self.plain.delete_finished(before_ms)

    async def delete_result(self, task_id: str) -> bool:
        """See `Store.delete_result`."""
        return self.plain.delete_result(task_id)

    async def dead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """See `Store.dead_letters`."""
        return self.plain.dead_letters(limit, before)

    async def revocations(self, tag: str, claimed: Sequence[Claimed]) -> list[str]:
        """See `SupervisorStore.revocations`."""
        with self.server.lock:
            return revoke.revocations(self.plain.shard(tag), claimed)

    async def settle(self, tag: str, outcomes: Sequence[Outcome], callbacks: str = "") -> list[Settled]:
        """See `SupervisorStore.settle`."""
        with self.server.step():
            return settle.settle(self.plain.shard(tag), outcomes, self.settings, callbacks=callbacks)

    async def hand_back(
        self,
        tag: str,
        claimed: Sequence[Claimed],
        *,
        invalidate: ClaimId | None = None,
        gone: bool = False,
        alone: Container[str] = (),
    ) -> list[bool]:
        """See `SupervisorStore.hand_back`."""
        with self.server.step():
            return hand_back.hand_back(self.plain.shard(tag), claimed, invalidate, gone=gone, alone=alone)

    async def charge(self, tag: str, attempts: Sequence[tuple[Claimed, int, str]]) -> list[Charge]:
        """See `SupervisorStore.charge`."""
        with self.server.step():
            return hand_back.charge(self.plain.shard(tag), attempts, self.settings)

    async def promote(self, tag: str) -> Promotion:
        """See `SupervisorStore.promote`."""
        with self.server.step():
            return enqueue.promote(self.plain.shard(tag))

    async def reclaim(self, tag: str) -> Reclaim:
        """See `SupervisorStore.reclaim`."""
        with self.server.step():
            return hand_back.reclaim(self.plain.shard(tag), self.settings)

    async def admit(self, tag: str) -> Admission:
        """See `SupervisorStore.admit`."""
        admitted = 0
        grants: list[TokenGrant] = []
        with self.server.step():
            while True:
                count, asks, next_us = limits.admit(self.plain.shard(tag), grants)
                admitted += count
                if not asks:
                    return Admission(admitted, next_us)
                grants = [limits.take(self.plain.shard(limiter_tag(ask.limit.name, self.tags)), ask) for ask in asks]

    async def mark_running(self, tag: str, attempts: Sequence[tuple[Claimed, int]]) -> list[bool]:
        """See `SupervisorStore.mark_running`."""
        with self.server.step():
            return upkeep.mark_running(self.plain.shard(tag), attempts)

    async def renew(self, tag: str, tokens: Sequence[str]) -> list[bool]:
        """See `SupervisorStore.renew`."""
        with self.server.step():
            return upkeep.renew(self.plain.shard(tag), tokens, self.settings)

    async def beat(self, tag: str, worker: str, info: dict[str, Any] | None) -> Heartbeat:
        """See `SupervisorStore.beat`."""
        with self.server.step():
            return upkeep.beat(self.plain.shard(tag), worker, info, self.settings)

    async def sweep(self, tag: str, idle_ms: int) -> int:  # noqa: ARG002
        """See `SupervisorStore.sweep`: consumers leave nothing behind here."""
        return 0

    async def progress(self, tag: str, reports: Sequence[tuple[Claimed, bytes]]) -> list[bool]:
        """See `SupervisorStore.progress`."""
        with self.server.step():
            return upkeep.progress(self.plain.shard(tag), reports)

    async def listen(self) -> AsyncIterator[tuple[str, str]]:
        """See `SupervisorStore.listen`."""
        with self._heard() as heard:
            yield "", "subscribed"
            while True:
                channel, tag, text = await heard.get()
                if channel == "control":
                    yield tag, text

    @contextmanager
    def _heard(self) -> Generator[asyncio.Queue[tuple[str, str, str]]]:
        """Collect what is told from now on, for the running event loop."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue()

        def hear(*told: str) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, (told[0], told[1], told[2]))

        self.server.listeners.append(hear)
        try:
            yield queue
        finally:
            self.server.listeners.remove(hear)
