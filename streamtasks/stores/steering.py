"""The part of a `Store` by which operators look into it page by page, and steer it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from ..protocol.state import DeadLetter
from .series_types import Series
from .steering_types import AuditEntry, IdPage, Pause

__all__ = ["AsyncSteeringStore", "SteeringStore"]


class SteeringStore(Protocol):
    """What operators change and read."""

    def record_audit(self, entry: AuditEntry) -> None:
        """Keep an audit entry; one with the same ``nonce`` is kept once. Of many the oldest go."""
        ...

    def audit_entries(self, limit: int = 100, before: str = "") -> list[AuditEntry]:
        """Return audit entries, newest first, at most 100; ``before``: continue behind the one with this cursor."""
        ...

    def discard_dead_letters(self, letters: Sequence[DeadLetter]) -> int:
        """Delete dead letters; return how many were still there."""
        ...

    def waiting_ids(
        self, kind: str, cursor: str = "", limit: int = 100, queue: str = "", *, entries: bool = False
    ) -> IdPage:
        """Return a page of ids of tasks that wait, at most 100, shard by shard.

        Args:
            kind: ``"queued"`` (those that workers have claimed are among them), ``"delayed"`` or ``"limited"``.
            cursor: that of the last page; empty: from the first.
            limit: of ids.
            queue: only those of this queue; for ``"queued"`` only.
            entries: return ``<entry>,<id>`` in place of ids, the entry in its stream; for ``"queued"`` only.

        Raises:
            InvalidTask: there is no such kind, or the cursor is none.
        """
        ...

    def finished_ids(self, outcomes: Collection[str], cursor: str = "", limit: int = 100, since_ms: int = 0) -> IdPage:
        """Return a page of ids of tasks that have finished with one of these outcomes, newest first.

        Args:
            outcomes: final states.
            cursor: that of the last page; empty: from the newest.
            limit: about how many; what was recorded in one ms is never divided, and up to 100 end in one step. Where
                few have such an outcome, a page may hold fewer, or none, and still have a cursor.
            since_ms: only those that ended at this time or later, ms since the epoch; what is older is not looked at.

        Raises:
            InvalidTask: the cursor is none.
        """
        ...

    def request_worker(self, worker: str, request: str) -> bool:
        """Ask a worker to ``"drain"`` (to claim nothing more) or to ``"stop"``; return whether it is registered.

        Raises:
            InvalidTask: there is no such request.
            ServerNotSupported: the store cannot pass it on.
        """
        ...

    def pause(self, queue: str, actor: str, reason: str, task: str = "") -> bool:
        """Let nothing more be claimed of a queue or of a task (both empty: of any); return whether it was not before.

        Raises:
            ServerNotSupported: the store cannot pause, or too much is paused.
            UnknownQueue: it cannot be a queue's name.
            InvalidTask: no task of this name can be paused.
        """
        ...

    def resume(self, queue: str, task: str = "") -> bool:
        """End the pause of a queue or of a task (both empty: that of everything); return whether there was one.

        Raises:
            UnknownQueue: it cannot be a queue's name.
            InvalidTask: no task of this name can be paused.
        """
        ...

    def pauses(self) -> list[Pause]:
        """Return what is paused."""
        ...

    def queue_counts(self, queue: str, minutes: int) -> tuple[int, int]:
        """Return how many tasks of a queue have finished in the last whole minutes (at most 30), and how long they ran.

        The time is in ms. A store in memory or in SQL does not count by queues: zeros.
        """
        ...

    def series(self, names: Sequence[str], *, by_hour: bool) -> Series:
        """Return what workers have counted: by the minute of the last 24 hours, or by the hour of the last 30 days.

        Args:
            names: of at most 8 series, see `protocol.series`.
            by_hour: what is wanted.
        """
        ...

    def stack(self, task_id: str, nonce: str, *, ask: bool) -> bytes | None:
        """Ask the worker that runs a task for its stacks, or only look whether it has answered.

        Args:
            task_id: which task.
            nonce: of the question.
            ask: whether the workers are told.

        Returns:
            The answer, JSON; empty: there is none yet; None: no attempt of it is known to run.

        Raises:
            ServerNotSupported: no worker of this store can be asked.
        """
        ...


class AsyncSteeringStore(Protocol):
    """What operators read, natively asynchronous; see `SteeringStore`."""

    async def audit_entries(self, limit: int = 100, before: str = "") -> list[AuditEntry]:
        """Return audit entries, newest first."""
        ...

    async def waiting_ids(
        self, kind: str, cursor: str = "", limit: int = 100, queue: str = "", *, entries: bool = False
    ) -> IdPage:
        """Return a page of ids of tasks that wait."""
        ...

    async def finished_ids(
        self, outcomes: Collection[str], cursor: str = "", limit: int = 100, since_ms: int = 0
    ) -> IdPage:
        """Return a page of ids of tasks that have finished with one of these outcomes."""
        ...

    async def pauses(self) -> list[Pause]:
        """Return what is paused."""
        ...
