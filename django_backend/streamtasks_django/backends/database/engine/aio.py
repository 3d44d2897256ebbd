"""`AsyncStore` and `SupervisorStore` in SQL: the methods of `SqlStore`, each on a thread, for event loops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final
from weakref import finalize

from asgiref.sync import sync_to_async

from streamtasks.protocol.state import Snapshot
from streamtasks.settings import StoreSettings
from streamtasks.stores.memory.aio import AsyncMemoryStore
from streamtasks.stores.readable import readable
from streamtasks.stores.types import SUBSCRIBED, Filter, Swept

from ....results.rows import DeleteBatch
from . import inspection
from .listener import Listener, can_listen
from .notify import CONTROL, ENDS, WAKE, channel_name
from .session import Session
from .store import SqlStore

__all__ = ["AsyncSqlStore"]

CHANGE_S: Final = 0.2
"""A keeper looks so often whether something has changed where the database cannot notify, seconds."""

WORDS: Final = ("due 0", "limit", "schedule", "unfold", "bulk")
"""The words that let all roles look for work."""

LOOK_S: Final = 1.0
"""A watched task is read this often, seconds, also without news."""


def awaiting(name: str) -> Callable[..., Any]:
    """Make an asynchronous method of one of `SqlStore`."""

    async def method(self: AsyncSqlStore, /, *args: Any, **kwargs: Any) -> Any:
        return await self.call(getattr(self.plain, name), *args, **kwargs)

    method.__name__, method.__doc__ = name, f"See `SqlStore.{name}`."
    return method


def completed[T](store: type[T]) -> type[T]:
    """Add the methods that the class lacks and `AsyncMemoryStore` has, so that they are listed only once."""
    for name in dir(AsyncMemoryStore):
        if not name.startswith("_") and name not in vars(store) and callable(getattr(SqlStore, name, None)):
            setattr(store, name, awaiting(name))
    return store


@completed
class AsyncSqlStore:
    """The asynchronous store.

    Args:
        settings: of the store.
        plain: the blocking store of a producer: calls run on the thread of `sync_to_async`, with its connections.
            None: that of a keeper, which has a thread and a connection of its own.
    """

    read: Callable[..., Any]  # as all that `completed` adds

    def __init__(self, settings: StoreSettings, plain: SqlStore | None = None) -> None:
        self.settings = settings
        self.plain = plain or SqlStore(settings)
        self._thread: Executor | None = None
        if plain is None:
            self._thread = thread = ThreadPoolExecutor(1, "streamtasks-sql")
            finalize(self, _end, thread, self.plain.own).atexit = False
        self._answered_at = 0.0

    async def call(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call something on the thread of this store."""
        if self._thread is None:
            return await sync_to_async(work)(*args, **kwargs)
        found = await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))
        self._answered_at = time.monotonic()
        return found

    @property
    def tags(self) -> tuple[str, ...]:
        """The shards."""
        return self.settings.tags

    async def sweep(self, tag: str, idle_ms: int) -> Swept:  # noqa: ARG002 - consumers leave nothing that counts
        """See `SupervisorStore.sweep`: delete all that has expired."""
        await self._delete_all(inspection.delete_expired)
        while await self.call(self.plain.change, inspection.sweep):
            pass
        return Swept(0, 0)

    async def expire_results(self, tag: str, success: bool, after: str = "") -> str:  # noqa: ARG002
        """See `SupervisorStore.expire_results`: all go at once, so ``after`` is not used."""
        await self._delete_all(lambda shard, most: inspection.expire_results(shard, success, most))
        return after

    async def _delete_all(self, delete: Callable[[Any, int], int]) -> None:
        """Delete records batch by batch; other calls of the keeper come in between."""
        batch = DeleteBatch()
        while await self.call(self.plain.delete_some, delete, batch):
            pass

    async def noted_tags(self) -> tuple[str, ...]:
        """See `SupervisorStore.noted_tags`: there is one shard."""
        return self.tags

    def answered_at(self, tag: str) -> float:  # noqa: ARG002 - there is one shard
        """See `SupervisorStore.answered_at`."""
        return self._answered_at

    def repeated(self) -> set[str]:
        """See `SupervisorStore.repeated`: a database is not asked again by itself."""
        return set()

    # -- waiting ------------------------------------------------------------------------------------------

    async def wait_finished(self, ids: Sequence[str], timeout_s: float | None) -> list[Snapshot]:
        """See `Store.wait_finished`."""

        async def look() -> list[Snapshot]:
            return [one for one in await self.read(ids) if one is not None and one.is_finished]

        found: list[Snapshot] = await self._wait(timeout_s, look)
        return found

    async def wait_workflow(
        self, workflow_id: str, fan_in: int | None, timeout_s: float | None, *, failure: bool
    ) -> bool:
        """See `Store.wait_workflow`."""

        async def look() -> bool:
            return bool(await self.call(self.plain.is_over, workflow_id, fan_in, failure=failure))

        return bool(await self._wait(timeout_s, look))

    async def _wait(self, timeout_s: float | None, look: Callable[[], Any]) -> Any:
        """Look after each push of an end, and now and then, until something is found or the time is up."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if found := await look():
            return found
        with closing(await self._ears()) as ears:
            while not (found := await look()):
                left_s = None if deadline is None else deadline - time.monotonic()
                if left_s is not None and left_s <= 0:
                    break
                await ears.wait(left_s)
            return found

    async def watch(self, task_id: str) -> AsyncIterator[Snapshot]:
        """See `AsyncStore.watch`."""
        with closing(await self._ears()) as ears:
            while True:
                [snapshot] = await self.read([task_id])
                if snapshot is None:
                    return
                yield snapshot
                if snapshot.is_finished:
                    return
                await ears.wait(None, task_id)

    async def _ears(self) -> _Ears:
        if not can_listen(self.plain.session):
            return _Ears(None)
        return _Ears(await self.call(Listener, self.plain.own, ENDS))

    async def listen(self, wakes_of: Filter | None = None) -> AsyncIterator[tuple[str, str]]:
        """See `SupervisorStore.listen`. Where a database cannot notify, roles look as often as the settings say."""
        [tag] = self.tags[:1]
        session = self.plain.own
        if not can_listen(session):

            async def changes() -> tuple[int, int]:
                return await self.call(session.run, session.version), self.plain.pushes_made

            version = await changes()
            yield "", SUBSCRIBED
            while True:
                await asyncio.sleep(CHANGE_S)
                if (now := await changes()) != version:
                    version = now
                    for word in WORDS:
                        yield tag, word
        channels = (CONTROL,) if wakes_of is None else (CONTROL, WAKE)
        listener = await self.call(Listener, session, *channels)
        control = channel_name(session.table, CONTROL)
        try:
            yield "", SUBSCRIBED
            while True:
                await readable(listener.fd)
                for channel, payload in listener.take():
                    yield tag, payload if channel == control else "wake"
        finally:
            listener.close()


def _end(thread: Executor, session: Session) -> None:
    """End the thread of a store that nobody uses any more, and close its connection."""

    def close() -> None:
        session.connection.close()

    thread.submit(close)
    thread.shutdown()


class _Ears:
    """Waits for ends on an event loop; where a database cannot notify, for some time."""

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener

    async def wait(self, timeout_s: float | None, task_id: str = "") -> None:
        """Wait for the end of a task (empty: any), or until it is time to look again."""
        longest_s = LOOK_S if self._listener is not None else LOOK_S / 4
        deadline = time.monotonic() + (longest_s if timeout_s is None else min(timeout_s, longest_s))
        if self._listener is None:
            await asyncio.sleep(max(0.0, deadline - time.monotonic()))
            return
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                while True:
                    await readable(self._listener.fd)
                    if any(not task_id or task_id in ids.split("\n") for _, ids in self._listener.take()):
                        return
        except TimeoutError:
            return

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.close()
