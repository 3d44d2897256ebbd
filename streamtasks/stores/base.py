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
        """Enqueue messages; return of each whether it is new; False: its id was known.

        ``retry_time_s``: for how long the call is repeated, seconds; None: as the settings say
        (`enqueue_retry_s`); 0: one try.

        Raises:
            StoreUnavailable: no answer until the deadline; the same call may be repeated.
            StoreFull: the server is out of memory.
        """
        ...

    def read(self, ids: Sequence[str]) -> list[Snapshot | None]:
        """Return a snapshot of each id; None if it is not known.

        Of several, one that cannot be read is None, too, and is logged.

        Raises:
            DecodeError: what is stored of a single id is not ours, or of a later release.
        """
        ...

    def revoke(self, task_id: str, /, *, terminate: bool = False) -> Revocation:
        """End a task before it finishes; ``terminate``: also interrupt it while it runs. See `Revocation`."""
        ...

    def start_workflow(self, new: NewWorkflow, retry_time_s: float | None = None) -> bool:
        """Start a workflow, all of it or nothing; False: it was known. ``retry_time_s``: see `enqueue`.

        Raises:
            StoreUnavailable: no answer until the deadline; the same call may be repeated.
            StoreFull: the server is out of memory.
        """
        ...

    def workflow(self, workflow_id: str, /, fan_ins: Sequence[int] = ()) -> WorkflowCounts | None:
        """Return the counts of a workflow and of these fan-ins; None if it is not known."""
        ...

    def gather(self, workflow_id: str, /, field: str) -> list[bytes]:
        """Return results that a workflow keeps: ``"v3"``: that of node 3, ``"r0"``: those of fan-in 0 in order.

        A member's is its outcome, its id, a line feed and its result, after a ``-`` if it came too late to count;
        empty if the member is not finished. `protocol.member_results` reads it.
        """
        ...

    def revoke_workflow(self, workflow_id: str, /, fan_in: int | None = None, *, terminate: bool = False) -> bool:
        """Revoke the unfinished nodes of a workflow, or of a fan-in; False: there are none."""
        ...

    def active(self, limit: int = 100) -> list[Active]:
        """Return running attempts, the longest first."""
        ...

    def statistics(self) -> Statistics:
        """Return counts, in constant time."""
        ...

    def workers(self) -> list[WorkerInfo]:
        """Return the workers whose last sign of life is recent."""
        ...

    def events(self, after: str = "", limit: int = 100) -> Events:
        """Return events after a cursor (empty: from the oldest that is kept), oldest first.

        ``limit``: of how many calls per shard; a call may concern 100 messages. Without ``send_events`` in the settings
        there are none.
        """
        ...

    def dead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """Return dead letters, newest first; ``before``: continue behind the one with this cursor."""
        ...

    def delete_finished(self, before_ms: int) -> int:
        """Delete records of tasks that finished before a time (ms since the epoch); return how many.

        An id stays known for 15 minutes after its end, so that enqueueing it again does nothing.
        """
        ...

    def delete_result(self, task_id: str, /) -> bool:
        """Delete the record of a finished task; False: it is not finished, or not known. See `delete_finished`."""
        ...


class Waits(Protocol):
    """What a producer waits for."""

    def wait_finished(self, ids: Sequence[str], timeout_s: float | None) -> list[Snapshot]:
        """Wait until at least one of these is finished, or the time is up; return snapshots of the finished ones."""
        ...

    def wait_workflow(self, workflow_id: str, /, fan_in: int | None, timeout_s: float | None, *, failure: bool) -> bool:
        """Wait until all members of a fan-in (None: all nodes) are finished; return False if the time is up before.

        ``failure``: one failed member is enough. A workflow that is not known any more counts as finished.
        """
        ...


class Store(Transitions, Waits, Protocol):
    """The blocking store of producers and children."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The shards."""
        ...

    def check(self) -> list[str]:
        """Check that tasks are safe on the server; return warnings. A server that cannot be reached now passes.

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
        """Enqueue messages."""
        ...

    async def read(self, ids: Sequence[str]) -> list[Snapshot | None]:
        """Return a snapshot of each id."""
        ...

    async def revoke(self, task_id: str, /, *, terminate: bool = False) -> Revocation:
        """End a task before it finishes."""
        ...

    async def start_workflow(self, new: NewWorkflow, retry_time_s: float | None = None) -> bool:
        """Start a workflow, all of it or nothing."""
        ...

    async def workflow(self, workflow_id: str, /, fan_ins: Sequence[int] = ()) -> WorkflowCounts | None:
        """Return the counts of a workflow."""
        ...

    async def gather(self, workflow_id: str, /, field: str) -> list[bytes]:
        """Return results that a workflow keeps."""
        ...

    async def revoke_workflow(self, workflow_id: str, /, fan_in: int | None = None, *, terminate: bool = False) -> bool:
        """Revoke the unfinished nodes of a workflow, or of a fan-in."""
        ...

    async def active(self, limit: int = 100) -> list[Active]:
        """Return running attempts, the longest first."""
        ...

    async def statistics(self) -> Statistics:
        """Return counts, in constant time."""
        ...

    async def workers(self) -> list[WorkerInfo]:
        """Return the workers whose last sign of life is recent."""
        ...

    async def events(self, after: str = "", limit: int = 100) -> Events:
        """Return events after a cursor, oldest first."""
        ...

    async def dead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """Return dead letters, newest first."""
        ...

    async def delete_finished(self, before_ms: int) -> int:
        """Delete records of tasks that finished before a time (ms since the epoch)."""
        ...

    async def delete_result(self, task_id: str, /) -> bool:
        """Delete the record of a finished task."""
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
        """Yield snapshots of a task whenever it may have changed, and at least once a second.

        Woken by pushes. Ends after a final state, or when nothing is known of it.
        """
        ...


class AsyncStore(AsyncTransitions, AsyncWaits, Protocol):
    """The store of producers on event loops."""


class SupervisorTransitions(SupervisorScheduleStore, Protocol):
    """What a keeper changes, natively asynchronous. Each call concerns one shard."""

    async def settle(self, tag: str, /, outcomes: Sequence[Outcome], callbacks: str = "") -> list[Settled]:
        """Settle outcomes in the name of children that cannot.

        ``callbacks``: which outcomes send a callback message, with which a child runs the hooks of an outcome that no
        child has seen: ``""``: none, ``"revoked"``: those of messages that were revoked while they were held (as the
        channel of a child does), ``"all"``: these, every final one and every retry.
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
        """Count a crash against running attempts: (claimed, started ms since the epoch, report)."""
        ...

    async def promote(self, tag: str, /) -> Promotion:
        """Move due messages to their streams, or to their rate limits."""
        ...

    async def reclaim(self, tag: str, /) -> Reclaim:
        """Take messages of expired claims back; they become suspects."""
        ...

    async def mark_running(self, tag: str, /, attempts: Sequence[tuple[Claimed, int]]) -> list[bool]:
        """Record starts of attempts: (claimed, ms since it started). False: the claim was lost."""
        ...

    async def revocations(self, tag: str, /, claimed: Sequence[Claimed]) -> list[str]:
        """Return of each whether it was revoked while it is held: ``"revoked"``, ``"terminate"`` (end it) or ``""``."""
        ...

    async def renew(self, tag: str, /, tokens: Sequence[str]) -> list[bool]:
        """Extend the leases of claims. False: the claim was lost, its attempts must be stopped."""
        ...

    async def beat(self, tag: str, /, worker: str, info: dict[str, Any] | None) -> Heartbeat:
        """Record a sign of life of a worker with its description; ``None``: it leaves."""
        ...

    async def sweep(self, tag: str, /, idle_ms: int) -> int:
        """Delete consumers that hold nothing and were idle for longer than this; return how many."""
        ...

    async def expire_results(self, tag: str, /, success: bool, after: str = "") -> str:
        """Delete the results of successes, or all others, that expired; their ids stay known for 15 minutes.

        For results that expire earlier than that; what is kept for longer expires by itself.

        Args:
            tag: of the shard.
            success: which ones.
            after: what the last call returned, ``""``: the first call.
        """
        ...

    async def progress(self, tag: str, /, reports: Sequence[tuple[Claimed, bytes]]) -> list[bool]:
        """Store progress of running attempts. False: the claim was lost."""
        ...

    async def unfold(self, tag: str, /) -> int | None:
        """Advance workflows whose next step is due; return ms until the next one, None if none is known."""
        ...


class Admits(Protocol):
    """Admission of messages that wait for rate limits."""

    async def admit(self, tag: str, /) -> Admission:
        """Admit as many messages as their rate limits allow now."""
        ...


class SupervisorStore(SupervisorTransitions, Admits, Protocol):
    """The store of keepers."""

    async def events(self, after: str = "", limit: int = 100) -> Events:
        """Return events after a cursor; see `Transitions.events`."""
        ...

    def answered_at(self, tag: str, /) -> float:
        """Return when a shard last answered a call, `time.monotonic`; 0: never."""
        ...

    def listen(self) -> AsyncIterator[tuple[str, str]]:
        """Yield control messages as (tag, text), first ``("", "subscribed")``.

        Raises:
            StoreUnavailable: the connection broke.
        """
        ...
