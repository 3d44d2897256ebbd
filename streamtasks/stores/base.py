"""The one interface above the stores: every state change of a message is one call of it.

It has three parts. *Transitions* change or read what is stored: they take batches and answer per member with values
that a model can predict (`streamtasks.stores.types`). Every one may be repeated as it is: enqueueing is idempotent by
the task's id, claiming by the claim's sequence number, and all else by the claim's token. *Waiting* returns when
something has happened: `Waits`, `AsyncWaits`, `SupervisorStore.listen`, and the child's `Channel`. *Admission* lets
messages go on that wait for rate limits: `Admits`.

Nothing above this package names Redis. Ids, names and tags are positional arguments.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Sequence
from typing import Any, Protocol

from ..protocol.state import DeadLetter, Snapshot
from .channel import Channel
from .schedule_store import AsyncScheduleStore, ScheduleStore, SupervisorScheduleStore
from .types import (
    Active,
    Admission,
    Charge,
    Claimed,
    ClaimId,
    Events,
    Filter,
    Heartbeat,
    NewMessage,
    Outcome,
    Promotion,
    Reclaim,
    Revocation,
    Settled,
    Statistics,
    WorkerInfo,
)
from .workflow_types import NewWorkflow, WorkflowCounts

__all__ = ["AsyncStore", "Store", "SupervisorStore"]


class Transitions(ScheduleStore, Protocol):
    """What a producer changes and reads."""

    def enqueue(self, messages: Sequence[NewMessage], retry_time_s: float | None = None) -> list[bool]:
        """Accept messages; per message: True if it is new, False if its id was known already.

        ``retry_time_s``: for how long the call is repeated, seconds; None: as the settings say; 0: one try.

        Raises:
            StoreUnavailable: no answer until the deadline; the same call may be repeated.
            StoreFull: the server is out of memory.
        """
        ...

    def read(self, ids: Sequence[str]) -> list[Snapshot | None]:
        """Return what is known of each id; None if nothing is."""
        ...

    def revoke(self, task_id: str, /, *, terminate: bool = False) -> Revocation:
        """End a task before it finishes; with ``terminate`` also while it runs. See `Revocation`."""
        ...

    def start_workflow(self, new: NewWorkflow) -> bool:
        """Accept a workflow, all of it or nothing; False if it was known already.

        Raises:
            StoreUnavailable: no answer until the deadline; the same call may be repeated.
            StoreFull: the server is out of memory.
        """
        ...

    def workflow(self, workflow_id: str, /, fan_ins: Sequence[int] = ()) -> WorkflowCounts | None:
        """Return how far a workflow is, and these fan-ins of it; None if nothing is known of it."""
        ...

    def gather(self, workflow_id: str, /, field: str) -> list[bytes]:
        """Return what a workflow keeps of results: ``"v3"``, that of node 3, or ``"r0"``, those of fan-in 0 in order.

        Of a member it is its outcome, its id, a line's end and its result, with ``-`` before it if it came too late to
        count; empty if it is not finished. `members` reads it.
        """
        ...

    def revoke_workflow(self, workflow_id: str, /, fan_in: int | None = None, *, terminate: bool = False) -> bool:
        """Revoke all that is not finished of a workflow, or what ends with a fan-in; False: there is nothing."""
        ...

    def active(self, limit: int = 100) -> list[Active]:
        """Return running attempts, the longest first."""
        ...

    def statistics(self) -> Statistics:
        """Return counts, in constant time."""
        ...

    def workers(self) -> list[WorkerInfo]:
        """Return the workers that have given a sign of life lately."""
        ...

    def events(self, after: str = "", limit: int = 100) -> Events:
        """Return what happened to messages after a cursor (empty: as far back as it is kept), oldest first.

        At most ``limit`` calls of each shard, of which each may have concerned 100 messages. Nothing unless the
        settings say ``send_events``.
        """
        ...

    def dead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """Return messages that were given up on, newest first; ``before``: the cursor of one, to go on from."""
        ...

    def delete_finished(self, before_ms: int) -> int:
        """Forget records of what finished before a time (ms since the epoch); return how many.

        An id that finished less than 15 minutes ago stays known, so that enqueueing it again does nothing.
        """
        ...

    def delete_result(self, task_id: str, /) -> bool:
        """Forget the record of one finished task; False: it is not finished, or not known. See `delete_finished`."""
        ...


class Waits(Protocol):
    """What a producer waits for."""

    def wait_finished(self, ids: Sequence[str], timeout_s: float | None) -> list[Snapshot]:
        """Wait until at least one of these is finished or the time is up; return those that are finished."""
        ...

    def wait_workflow(self, workflow_id: str, /, fan_in: int | None, timeout_s: float | None, *, failure: bool) -> bool:
        """Wait until all members of a fan-in are finished, None: all of the workflow; return whether they are.

        With ``failure`` one member that has failed is enough. What is not known any more counts as finished.
        """
        ...


class Store(Transitions, Waits, Protocol):
    """The blocking store of producers and children."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The shards."""
        ...

    def check(self) -> None:
        """Look whether tasks are safe there. One that cannot be reached now is no reason to refuse it.

        Raises:
            ServerNotSupported: tasks could be lost.
            AccessDenied: user or password are wrong.
        """
        ...

    def channel(self, tag: str, /, consumer: str, queues: Filter) -> Channel:
        """Open a child's channel to one shard."""
        ...


class AsyncTransitions(AsyncScheduleStore, Protocol):
    """The same as `Transitions`, natively asynchronous."""

    async def enqueue(self, messages: Sequence[NewMessage], retry_time_s: float | None = None) -> list[bool]:
        """Accept messages."""
        ...

    async def read(self, ids: Sequence[str]) -> list[Snapshot | None]:
        """Return what is known of each id."""
        ...

    async def revoke(self, task_id: str, /, *, terminate: bool = False) -> Revocation:
        """End a task before it finishes."""
        ...

    async def start_workflow(self, new: NewWorkflow) -> bool:
        """Accept a workflow, all of it or nothing."""
        ...

    async def workflow(self, workflow_id: str, /, fan_ins: Sequence[int] = ()) -> WorkflowCounts | None:
        """Return how far a workflow is."""
        ...

    async def gather(self, workflow_id: str, /, field: str) -> list[bytes]:
        """Return what a workflow keeps of results."""
        ...

    async def revoke_workflow(self, workflow_id: str, /, fan_in: int | None = None, *, terminate: bool = False) -> bool:
        """Revoke all that is not finished of a workflow."""
        ...

    async def active(self, limit: int = 100) -> list[Active]:
        """Return running attempts, the longest first."""
        ...

    async def statistics(self) -> Statistics:
        """Return counts, in constant time."""
        ...

    async def workers(self) -> list[WorkerInfo]:
        """Return the workers that have given a sign of life lately."""
        ...

    async def events(self, after: str = "", limit: int = 100) -> Events:
        """Return what happened to messages after a cursor, oldest first."""
        ...

    async def dead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """Return messages that were given up on, newest first."""
        ...

    async def delete_finished(self, before_ms: int) -> int:
        """Forget records of what finished before a time (ms since the epoch)."""
        ...

    async def delete_result(self, task_id: str, /) -> bool:
        """Forget the record of one finished task."""
        ...


class AsyncWaits(Protocol):
    """The same as `Waits`, natively asynchronous."""

    async def wait_finished(self, ids: Sequence[str], timeout_s: float | None) -> list[Snapshot]:
        """Wait until at least one of these is finished."""
        ...

    async def wait_workflow(
        self, workflow_id: str, /, fan_in: int | None, timeout_s: float | None, *, failure: bool
    ) -> bool:
        """Wait until all members of a fan-in are finished."""
        ...

    def watch(self, task_id: str, /) -> AsyncIterator[Snapshot]:
        """Yield what is known of a task whenever it may have changed, and at least once a second.

        Woken by pushes. Ends after a final state, or when nothing is known of it.
        """
        ...


class AsyncStore(AsyncTransitions, AsyncWaits, Protocol):
    """The store of producers on event loops."""


class SupervisorTransitions(SupervisorScheduleStore, Protocol):
    """What a keeper changes, natively asynchronous. Each call concerns one shard."""

    async def settle(self, tag: str, /, outcomes: Sequence[Outcome], callbacks: str = "") -> list[Settled]:
        """Write outcomes in the name of children that cannot.

        ``callbacks``: for which of them a message to `streamtasks.callback` is sent, so that a child does what belongs
        to an outcome that none has seen: ``""`` none, ``"revoked"`` those that were revoked while they were held and
        end otherwise for their holder (a child's own channel does so), ``"all"`` those, every final one and every
        retry.
        """
        ...

    async def hand_back(
        self,
        tag: str,
        /,
        claimed: Sequence[Claimed],
        *,
        invalidate: ClaimId | None = None,
        gone: bool = False,
        alone: Container[str] = (),
    ) -> list[bool]:
        """Return messages to their places, uncharged: the attempt does not count.

        Args:
            tag: the shard.
            claimed: the messages.
            invalidate: a claim whose messages are returned as well, and that takes nothing if it is sent again.
            gone: the consumer of that claim has ended.
            alone: ids of messages that only a child with nothing else in hand may get.
        """
        ...

    async def charge(self, tag: str, /, attempts: Sequence[tuple[Claimed, int, str]]) -> list[Charge]:
        """Count a crash against running attempts: (claimed, started ms, report)."""
        ...

    async def promote(self, tag: str, /) -> Promotion:
        """Move due messages to their streams."""
        ...

    async def reclaim(self, tag: str, /) -> Reclaim:
        """Take over expired claims."""
        ...

    async def mark_running(self, tag: str, /, attempts: Sequence[tuple[Claimed, int]]) -> list[bool]:
        """Make starts visible: (claimed, ms since it started)."""
        ...

    async def revocations(self, tag: str, /, claimed: Sequence[Claimed]) -> list[str]:
        """Return of each whether it was revoked while it is held: ``"revoked"``, ``"terminate"`` (end it) or ``""``."""
        ...

    async def renew(self, tag: str, /, tokens: Sequence[str]) -> list[bool]:
        """Extend the leases of claims; False: not held any more, its attempts must be stopped."""
        ...

    async def beat(self, tag: str, /, worker: str, info: dict[str, Any] | None) -> Heartbeat:
        """Say that this worker lives; ``None``: that it leaves."""
        ...

    async def sweep(self, tag: str, /, idle_ms: int) -> int:
        """Forget consumers that hold nothing and were idle for longer; return how many."""
        ...

    async def progress(self, tag: str, /, reports: Sequence[tuple[Claimed, bytes]]) -> list[bool]:
        """Store progress of running attempts."""
        ...

    async def unfold(self, tag: str, /) -> int | None:
        """Do what workflows have left to do; return ms until there is more, None if nothing is known to come."""
        ...


class Admits(Protocol):
    """Admission of messages that wait for rate limits."""

    async def admit(self, tag: str, /) -> Admission:
        """Admit messages that wait for rate limits, as far as the limits have starts for them now."""
        ...


class SupervisorStore(SupervisorTransitions, Admits, Protocol):
    """The store of keepers."""

    async def events(self, after: str = "", limit: int = 100) -> Events:
        """Return what happened to messages; see `Store.events`."""
        ...

    def listen(self) -> AsyncIterator[tuple[str, str]]:
        """Yield control messages as (tag, text), first ``("", "subscribed")``.

        Raises:
            StoreUnavailable: the connection broke.
        """
        ...
