"""`AsyncStore` and `SupervisorStore` in memory: the methods of `MemoryStore`, for event loops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Concatenate, Final

from ...protocol.state import Snapshot
from ...settings import StoreSettings
from ..types import SUBSCRIBED, Filter
from .claim import wake_lists
from .server import MemoryServer
from .store import MemoryStore
from .transitions import AsyncTransitions, awaiting

__all__ = ["AsyncMemoryStore"]

LOOK_S: Final = 1.0
"""A watched task is read this often, seconds, also without news."""


class AsyncMemoryStore(AsyncTransitions):
    """The asynchronous store in memory; see `MemoryStore` for arguments."""

    def __init__(self, settings: StoreSettings, server: MemoryServer | None = None) -> None:
        self.settings = settings
        self.plain = MemoryStore(settings, server)
        self.server = self.plain.server

    @property
    def tags(self) -> tuple[str, ...]:
        """The shards."""
        return self.settings.tags

    async def call[**P, T](self, blocking: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of `MemoryStore`, which never waits."""
        return blocking(self.plain, *args, **kwargs)

    enqueue = awaiting(MemoryStore.enqueue)
    read = awaiting(MemoryStore.read)
    revoke_many = awaiting(MemoryStore.revoke_many)
    start_workflow = awaiting(MemoryStore.start_workflow)
    put_schedule = awaiting(MemoryStore.put_schedule)
    schedules = awaiting(MemoryStore.schedules)
    list_schedules = awaiting(MemoryStore.list_schedules)
    active = awaiting(MemoryStore.active)
    statistics = awaiting(MemoryStore.statistics)
    measures = awaiting(MemoryStore.measures)
    workers = awaiting(MemoryStore.workers)
    events = awaiting(MemoryStore.events)
    watch_events = awaiting(MemoryStore.watch_events)
    dead_letters = awaiting(MemoryStore.dead_letters)
    delete_finished = awaiting(MemoryStore.delete_finished)
    forget_queue = awaiting(MemoryStore.forget_queue)
    record_audit = awaiting(MemoryStore.record_audit)
    audit_entries = awaiting(MemoryStore.audit_entries)
    discard_dead_letters = awaiting(MemoryStore.discard_dead_letters)
    waiting_ids = awaiting(MemoryStore.waiting_ids)
    finished_ids = awaiting(MemoryStore.finished_ids)
    request_worker = awaiting(MemoryStore.request_worker)
    pause = awaiting(MemoryStore.pause)
    resume = awaiting(MemoryStore.resume)
    pauses = awaiting(MemoryStore.pauses)
    append_logs = awaiting(MemoryStore.append_logs)
    answer_stack = awaiting(MemoryStore.answer_stack)
    admit = awaiting(MemoryStore.admit)
    ready = awaiting(MemoryStore.ready)
    fire = awaiting(MemoryStore.fire)

    async def wait_finished(self, ids: Sequence[str], timeout_s: float | None) -> list[Snapshot]:
        """See `Store.wait_finished`."""
        return await self._wait(timeout_s, lambda: self.plain.finished(ids))

    async def wait_workflow(
        self, workflow_id: str, fan_in: int | None, timeout_s: float | None, *, failure: bool
    ) -> bool:
        """See `Store.wait_workflow`."""
        return await self._wait(timeout_s, lambda: self.plain.is_over(workflow_id, fan_in, failure=failure))

    async def _wait[T](self, timeout_s: float | None, look: Callable[[], T]) -> T:
        """Look whenever something is finished, until something is found or the time is up."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._pushes() as pushes:
            while not (found := look()):
                left_s = None if deadline is None else deadline - time.monotonic()
                if left_s is not None and left_s <= 0:
                    break
                try:
                    async with asyncio.timeout(left_s):
                        while (await pushes.get())[0] != "done":
                            continue
                except TimeoutError:
                    continue
            return found

    async def watch(self, task_id: str) -> AsyncIterator[Snapshot]:
        """See `AsyncStore.watch`."""
        with self._pushes() as pushes:
            while True:
                [snapshot] = self.plain.read([task_id])
                if snapshot is None:
                    return
                yield snapshot
                if snapshot.is_finished:
                    return
                await _news_of(pushes, task_id)

    async def noted_tags(self) -> tuple[str, ...]:
        """See `SupervisorStore.noted_tags`: nobody else could add any."""
        return self.tags

    def repeated(self) -> set[str]:
        """See `SupervisorStore.repeated`: no call fails."""
        return set()

    def answered_at(self, tag: str) -> float:  # noqa: ARG002 - all of them always do
        """See `SupervisorStore.answered_at`."""
        return time.monotonic()

    async def listen(self, wakes_of: Filter | None = None) -> AsyncIterator[tuple[str, str]]:
        """See `SupervisorStore.listen`."""
        wakes = () if wakes_of is None else wake_lists(wakes_of)
        with self._pushes() as pushes:
            yield "", SUBSCRIBED
            while True:
                channel, tag, text = await pushes.get()
                if channel == "control":
                    yield tag, text
                elif channel == "wake" and text in wakes:
                    yield tag, "wake"

    @contextmanager
    def _pushes(self) -> Generator[asyncio.Queue[tuple[str, str, str]]]:
        """Collect pushes from now on, for the running event loop."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue()

        def listen(channel: str, tag: str, text: str) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, (channel, tag, text))

        self.server.listeners.append(listen)
        try:
            yield queue
        finally:
            self.server.listeners.remove(listen)


async def _news_of(pushes: asyncio.Queue[tuple[str, str, str]], task_id: str) -> None:
    """Return when there is news of a task, or after `LOOK_S`."""
    try:
        async with asyncio.timeout(LOOK_S):
            while True:
                channel, _, text = await pushes.get()
                if channel in ("done", "news") and text == task_id:
                    return
    except TimeoutError:
        return
