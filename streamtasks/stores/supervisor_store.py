"""The part of the `Store` protocol for keepers: transitions of one shard, and admission of limited messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Container, Sequence
from typing import Any, Protocol

from .inspection_types import Events, NewLog
from .schedule_store import SupervisorScheduleStore
from .series_types import NewSeries
from .types import Admission, Charge, Claimed, ClaimId, Filter, Heartbeat, Outcome, Promotion, Reclaim, Settled, Swept

__all__ = ["SupervisorStore"]


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

        One that its claim does not hold any more stays as it is. Claims that hold nothing then are released.

        Args:
            tag: the shard.
            claimed: the messages.
            invalidate: a claim whose messages are returned as well, and that takes nothing if it is sent again.
            gone: the consumer of that claim has ended.
            alone: ids of messages that only a child with nothing else in hand may get.
        """
        ...

    async def holdings(self, tag: str, /, consumers: Collection[str]) -> list[Claimed]:
        """Return the messages that children hold by the word of the store: id, token and stream only, without bodies.

        One whose claim ends or is renewed meanwhile may be missing.
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

    async def sweep(self, tag: str, /, idle_ms: int) -> Swept:
        """Delete consumers that hold nothing and were idle for longer than this, and streams that nothing is in.

        A stream goes once nothing has come to it for `queue_expires_s`.
        """
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

    async def add_series(self, new: NewSeries) -> None:
        """Add what a worker has counted to the series for charts, see `Store.series`; names past the bound fold."""
        ...

    async def note_release(self, project: str, release: str) -> None:
        """Note that a worker of a project starts, with this release; only another than the last one is kept."""
        ...

    async def append_logs(self, some: Sequence[NewLog], nonce: str) -> list[int]:
        """Keep what attempts have logged with their tasks; without lines, only for how long it is kept is noted.

        Called again with the same nonce after an error, it keeps nothing twice.

        Returns:
            of each task 2: its lines expire with its record, 1: it is not finished, 0: it is not known.

        Raises:
            StoreFull: nothing was kept.
        """
        ...

    async def answer_stack(self, task_id: str, nonce: str, answer: bytes) -> None:
        """Keep the answer to a question for the stacks of a task for a minute; see `Store.stack`."""
        ...

    async def events(self, after: str = "", limit: int = 100) -> Events:
        """Return events after a cursor; see `Transitions.events`."""
        ...

    def answered_at(self, tag: str, /) -> float:
        """Return when a shard last answered a call, `time.monotonic`; 0: never."""
        ...

    def repeated(self) -> set[str]:
        """Return the shards of calls that have failed since the last time: their server may be another one now."""
        ...

    async def ready(self, queues: Filter, tags: Sequence[str]) -> dict[str, int | None]:
        """Return for each of these shards the best priority at which something of the queues can be claimed.

        None: nothing is. A shard that does not answer is left out.
        """
        ...

    async def noted_tags(self) -> tuple[str, ...]:
        """Return the tags of all shards, as they are noted now; others may have added some behind those of `tags`."""
        ...

    def listen(self, wakes_of: Filter | None = None) -> AsyncIterator[tuple[str, str]]:
        """Yield control messages as (tag, text), first ``("", SUBSCRIBED)``.

        That comes again, for one shard or for all, if messages may have been lost. ``("", SHARDS)`` says that the list
        of shards may have grown.

        ``wakes_of``: yield ``"wake"``, too, when something has become ready in one of these queues, but not again until
        a child that serves several shards has claimed there.

        Raises:
            StoreUnavailable: the connection broke.
        """
        ...
