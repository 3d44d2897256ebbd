"""Read what was enqueued and has not reached the store yet: it waits for a commit, or is in the outbox.

A reader of a state asks the store first, then here, and for what is found neither there nor here the store again: it
may have arrived in between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import sync_to_async

from streamtasks.protocol.state import Snapshot, State
from streamtasks.stores.workflow_types import FanInCounts, NewWorkflow, WorkflowCounts

from .on_commit import Held, held_of
from .outbox import workflow_in_outbox, written_calls, written_nodes

if TYPE_CHECKING:
    from streamtasks.stores.types import NewMessage

    from .store_alias import StoreAlias

__all__ = ["StoreWithUnsent", "aread", "read", "snapshot_of", "state_of"]

_POLL_S: Final = 0.1
"""How often a wait for a workflow looks whether it has reached the store, seconds."""


def read(backend: StoreAlias, ids: Sequence[str]) -> list[Snapshot | None]:
    """Return a snapshot of each id, as `Store.read` does; one of what has not reached the store is READY."""
    store = backend.stores.plain
    found = store.read(ids)
    if None in found:
        unknown = [task_id for task_id, one in zip(ids, found, strict=True) if one is None]
        found = _merged(ids, found, _unsent(backend, unknown))
        if None in found and backend.outbox_database is not None:
            found = store.read(ids)  # relayed in between
    return found


async def aread(backend: StoreAlias, ids: Sequence[str]) -> list[Snapshot | None]:
    """Return a snapshot of each id from an event loop; see `read`."""
    found: list[Snapshot | None] = await backend.stores.asynchronous.read(ids)
    if None in found:
        unknown = [task_id for task_id, one in zip(ids, found, strict=True) if one is None]
        # Transactions are those of the thread of sync_to_async.
        found = _merged(ids, found, await sync_to_async(_unsent)(backend, unknown))
        if None in found and backend.outbox_database is not None:
            found = await backend.stores.asynchronous.read(ids)  # relayed in between
    return found


def _merged(ids: Sequence[str], found: Sequence[Snapshot | None], unsent: dict[str, Snapshot]) -> list[Snapshot | None]:
    return [one if one is not None else unsent.get(task_id) for task_id, one in zip(ids, found, strict=True)]


def _unsent(backend: StoreAlias, ids: Sequence[str]) -> dict[str, Snapshot]:
    wanted, found = set(ids), {}
    for held in held_of(backend):
        if isinstance(held, Held):
            for _, message, _ in held.calls:
                if message.id in wanted:
                    found[message.id] = snapshot_of(backend, message, state_of(message))
        else:
            found.update(_nodes(backend, held.new, wanted))
    if backend.outbox_database is not None:
        for message in written_calls(backend, wanted).values():
            found[message.id] = snapshot_of(backend, message, state_of(message))
        for new in written_nodes(backend, wanted):
            found.update(_nodes(backend, new, wanted))
    return found


def _nodes(backend: StoreAlias, new: NewWorkflow, wanted: Container[str]) -> dict[str, Snapshot]:
    states = {
        node.message.id: (node.message, State.BLOCKED if node.waits_for else state_of(node.message))
        for node in new.nodes
    }
    return {
        task_id: snapshot_of(backend, message, state)
        for task_id, (message, state) in states.items()
        if task_id in wanted
    }


def state_of(message: NewMessage) -> State:
    """Return the state that a message will have when it is in the store."""
    if message.after:
        return State.BLOCKED
    return State.QUEUED if message.due_ms is None and not message.delay_ms else State.DELAYED


def snapshot_of(backend: StoreAlias, message: NewMessage, state: State) -> Snapshot:
    """Return a snapshot of a message that was built now."""
    now_ms = time.time_ns() // 1_000_000
    return Snapshot(message.id, state, message.envelope, now_ms, wire=backend.store_settings.wire)


def _workflow(backend: StoreAlias, workflow_id: str) -> NewWorkflow | None:
    """Return a workflow that has not reached the store; None if there is none."""
    for held in held_of(backend):
        if not isinstance(held, Held) and held.new.id == workflow_id:
            return held.new
    return workflow_in_outbox(backend, workflow_id)


def _counts(new: NewWorkflow | None, fan_ins: Sequence[int]) -> WorkflowCounts | None:
    """Return the counts of a workflow of which nothing has run."""
    if new is None:
        return None
    joins = [new.fan_ins[number] for number in fan_ins]
    found = [FanInCounts(one.members, 0, 0, False, one.need, one.collects, one.cancels) for one in joins]
    return WorkflowCounts(len(new.nodes), 0, 0, 0, new.plan, found)


class StoreWithUnsent:
    """The store of an alias as handles on results read it: together with what has not reached it."""

    def __init__(self, backend: StoreAlias, *, asynchronous: bool = False) -> None:
        self._backend = backend
        self._store: Any = backend.stores.asynchronous if asynchronous else backend.stores.plain
        if asynchronous:
            self.read: Any = self._aread
            self.workflow: Any = self._aworkflow
            self.wait_workflow: Any = self._await_workflow
        else:
            self.read = self._read
            self.workflow = self._known_workflow
            self.wait_workflow = self._wait_workflow

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def _read(self, ids: Sequence[str]) -> list[Snapshot | None]:
        return read(self._backend, ids)

    async def _aread(self, ids: Sequence[str]) -> list[Snapshot | None]:
        return await aread(self._backend, ids)

    def _known_workflow(self, workflow_id: str, fan_ins: Sequence[int] = ()) -> WorkflowCounts | None:
        counts: WorkflowCounts | None = self._store.workflow(workflow_id, fan_ins)
        counts = counts or _counts(_workflow(self._backend, workflow_id), fan_ins)
        return counts or (self._store.workflow(workflow_id, fan_ins) if self._backend.outbox_database else None)

    async def _aworkflow(self, workflow_id: str, fan_ins: Sequence[int] = ()) -> WorkflowCounts | None:
        counts: WorkflowCounts | None = await self._store.workflow(workflow_id, fan_ins)
        counts = counts or _counts(await sync_to_async(_workflow)(self._backend, workflow_id), fan_ins)
        return counts or (await self._store.workflow(workflow_id, fan_ins) if self._backend.outbox_database else None)

    def _wait_workflow(self, workflow_id: str, fan_in: int | None, timeout_s: float | None, *, failure: bool) -> bool:
        ends_at = None if timeout_s is None else time.monotonic() + timeout_s
        while _workflow(self._backend, workflow_id) is not None:
            if ends_at is not None and time.monotonic() >= ends_at:
                return False
            time.sleep(_POLL_S)
        done: bool = self._store.wait_workflow(workflow_id, fan_in, _left(ends_at), failure=failure)
        return done

    async def _await_workflow(
        self, workflow_id: str, fan_in: int | None, timeout_s: float | None, *, failure: bool
    ) -> bool:
        ends_at = None if timeout_s is None else time.monotonic() + timeout_s
        while await sync_to_async(_workflow)(self._backend, workflow_id) is not None:
            if ends_at is not None and time.monotonic() >= ends_at:
                return False
            await asyncio.sleep(_POLL_S)
        done: bool = await self._store.wait_workflow(workflow_id, fan_in, _left(ends_at), failure=failure)
        return done


def _left(ends_at: float | None) -> float | None:
    return None if ends_at is None else max(0.0, ends_at - time.monotonic())
