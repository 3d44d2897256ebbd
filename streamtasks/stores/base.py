"""The one interface above the stores: every state change of a message is one call of it.

It has three parts. *Transitions* change or read what is stored: they take batches and answer per member with values
that a model can predict (`streamtasks.stores.types`). Every one may be repeated as it is: enqueueing is idempotent by
the task's id, claiming by the claim's sequence number, and all else by the claim's token. *Waiting* returns when
something has happened: `Waits`, `AsyncWaits`, `SupervisorStore.listen`, and the child's `Channel`. *Admission* lets
messages go on that wait for rate limits: `Admits`.

Nothing above this package names Redis. Ids, names and tags are positional arguments.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from ..protocol.log_lines import TaskLogs
from ..protocol.state import DeadLetter, Snapshot
from .bulk import BulkStore
from .channel import Channel
from .inspection_types import Active, Events, Standing, Statistics, WorkerInfo
from .measure_types import Measures
from .schedule_store import AsyncScheduleStore, ScheduleStore
from .steering import AsyncSteeringStore, SteeringStore
from .types import Claimed, Filter, NewMessage, Revocation
from .workflow_types import NewWorkflow, WorkflowCounts

__all__ = ["AsyncStore", "Store"]


class Transitions(ScheduleStore, Protocol):
    """What a producer changes and reads."""

    def enqueue(self, messages: Sequence[NewMessage], retry_time_s: float | None = None) -> list[bool]:
        """Enqueue messages; return of each whether it is new; False: its id was known.

        ``retry_time_s``: for how long the call is repeated, seconds; None: as the settings say
        (`enqueue_retry_s`); 0: one try.

        Raises:
            StoreUnavailable: no answer until the deadline; the same call may be repeated.
            StoreFull: the server is out of memory.
            NotDurable: they are enqueued, but not as durable as was asked for; the same call may be repeated.
            ServerNotSupported: the server cannot give that durability. Nothing was enqueued.
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

    def revoke_many(self, ids: Sequence[str], *, terminate: bool = False) -> list[Revocation]:
        """End tasks before they finish, 100 in one step; return what became of each. See `revoke`.

        An id that is given twice is revoked once.
        """
        ...

    def start_workflow(self, new: NewWorkflow, retry_time_s: float | None = None) -> bool:
        """Start a workflow, all of it or nothing; False: it was known. ``retry_time_s``: see `enqueue`.

        Raises:
            StoreUnavailable: no answer until the deadline; the same call may be repeated.
            StoreFull: the server is out of memory.
            NotDurable: it is started, but not as durable as was asked for. See `enqueue`.
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

    def standing(self, task_id: str, /) -> Standing | None:
        """Return what decides when an unfinished message is claimed; None: it is finished, or not known."""
        ...

    def active(self, limit: int = 100) -> list[Active]:
        """Return running attempts, the longest first."""
        ...

    def statistics(self) -> Statistics:
        """Return counts, in constant time."""
        ...

    def measures(self) -> Measures:
        """Return how much lies in the store, and since when, for metrics; in constant time for each queue."""
        ...

    def workers(self) -> list[WorkerInfo]:
        """Return the workers whose last sign of life is recent."""
        ...

    def events(self, after: str = "", limit: int = 100) -> Events:
        """Return events after a cursor, oldest first.

        There are none without ``send_events`` in the settings, unless somebody watches.

        Args:
            after: empty: from the oldest that is kept; `LATEST`: none, only the cursor behind the latest.
            limit: of how many calls per shard; a call may concern 100 messages.

        Raises:
            InvalidTask: ``after`` is no cursor of events.
        """
        ...

    def watch_events(self) -> None:
        """Let events be written for `WATCH_MS` although the settings of the writers do not say so.

        Raises:
            AccessDenied: this user may only read.
        """
        ...

    def dead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """Return dead letters, newest first; ``before``: continue behind the one with this cursor."""
        ...

    def logs(self, task_id: str, /, known: int = 0) -> TaskLogs | None:
        """Return what the attempts of a task have logged and printed, as far as it is kept.

        ``known``: how many lines the caller has; None is returned if there are no more.

        Raises:
            ServerNotSupported: this store keeps none.
        """
        ...

    def delete_finished(self, before_ms: int) -> int:
        """Delete records of tasks that finished before a time (ms since the epoch); return how many.

        An id stays known for 15 minutes after its end, so that enqueueing it again does nothing.
        """
        ...

    def delete_result(self, task_id: str, /) -> bool:
        """Delete the record of a finished task; False: it is not finished, or not known. See `delete_finished`."""
        ...

    def forget_queue(self, queue: str, /) -> bool:
        """Delete what is kept of a queue that nothing is in, at once; False: nothing was.

        Messages that are delayed, wait for a limit or for others are not counted: they make its stream again when they
        come to it.

        Raises:
            QueueNotEmpty: messages are in it.
            UnknownQueue: it cannot be a queue's name.
        """
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


class Store(Transitions, Waits, SteeringStore, BulkStore, Protocol):
    """The blocking store of producers and children."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The shards."""
        ...

    def check(self, *, before_deploy: bool = False) -> list[str]:
        """Check that tasks are safe on the server; return warnings. A server that cannot be reached now passes.

        A worker that starts also learns whether its user may do its work. ``before_deploy``: anybody asks, and replicas
        that may become masters are looked at as well.

        Raises:
            ServerNotSupported: tasks could be lost.
            AccessDenied: user or password are wrong.
            ConfigurationError: the server knows other shards.
        """
        ...

    def rewrite(self, claimed: Claimed, envelope: bytes) -> bool:
        """Replace the envelope of a held message, with other headers; return False if its claim was lost.

        Every later attempt, the record and the dead letter have the new one.

        Raises:
            StoreUnavailable: no answer until the deadline; the same call may be repeated.
        """
        ...

    def channel(self, tag: str, /, consumer: str, queues: Filter) -> Channel:
        """Open a child's channel. ``tag``: the shard of claims that name none."""
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

    async def revoke_many(self, ids: Sequence[str], *, terminate: bool = False) -> list[Revocation]:
        """End tasks before they finish, 100 in one step."""
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

    async def standing(self, task_id: str, /) -> Standing | None:
        """Return what decides when an unfinished message is claimed."""
        ...

    async def active(self, limit: int = 100) -> list[Active]:
        """Return running attempts, the longest first."""
        ...

    async def statistics(self) -> Statistics:
        """Return counts, in constant time."""
        ...

    async def measures(self) -> Measures:
        """Return how much lies in the store, and since when."""
        ...

    async def workers(self) -> list[WorkerInfo]:
        """Return the workers whose last sign of life is recent."""
        ...

    async def events(self, after: str = "", limit: int = 100) -> Events:
        """Return events after a cursor, oldest first."""
        ...

    async def watch_events(self) -> None:
        """Let events be written for some time."""
        ...

    async def dead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """Return dead letters, newest first."""
        ...

    async def logs(self, task_id: str, /, known: int = 0) -> TaskLogs | None:
        """Return what the attempts of a task have logged and printed."""
        ...

    async def delete_finished(self, before_ms: int) -> int:
        """Delete records of tasks that finished before a time (ms since the epoch)."""
        ...

    async def delete_result(self, task_id: str, /) -> bool:
        """Delete the record of a finished task."""
        ...

    async def forget_queue(self, queue: str, /) -> bool:
        """Delete what is kept of a queue that nothing is in."""
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


class AsyncStore(AsyncTransitions, AsyncWaits, AsyncSteeringStore, Protocol):
    """The store of producers on event loops."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The shards."""
        ...
