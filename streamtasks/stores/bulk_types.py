"""Values of bulk operations in a `Store`: what is noted of one, how far it is, what becomes of a replayed letter."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from .types import NewMessage

__all__ = [
    "ACTIVE_BULKS",
    "BULK_KEPT_MS",
    "DISCARDED_KEPT_MS",
    "MOST_BULKS",
    "BulkCounts",
    "BulkLease",
    "BulkState",
    "Move",
    "Replay",
    "StoredBulk",
]

MOST_BULKS: Final = 1000
"""So many bulk operations are noted; the oldest go."""

BULK_KEPT_MS: Final = 7 * 86_400_000
"""For how long the members of a bulk operation are remembered, ms."""

DISCARDED_KEPT_MS: Final = 3_600_000
"""For how long dead letters can be put back that a bulk operation has discarded, ms."""


class BulkState(enum.StrEnum):
    """Where a bulk operation is."""

    REQUESTED = "REQUESTED"
    """A worker collects its members, or will."""
    PLANNING = "PLANNING"
    """Its members are being collected."""
    PLANNED = "PLANNED"
    """Its members are fixed; nothing has been changed."""
    APPLYING = "APPLYING"
    """A worker applies it, or will."""
    ABORTED = "ABORTED"
    """It was stopped; what had been done stays."""
    FINISHED = "FINISHED"
    """All of its members are done."""
    UNDOING = "UNDOING"
    """A worker puts back what it has discarded."""
    UNDONE = "UNDONE"
    """What it had discarded is there again."""


ACTIVE_BULKS: Final = (BulkState.REQUESTED, BulkState.APPLYING, BulkState.UNDOING)
"""Operations in these states are taken by workers."""


class Replay(enum.IntEnum):
    """What became of a dead letter that was to be enqueued again."""

    GONE = 0
    """Somebody else has replayed or discarded it; nothing was done."""
    ENQUEUED = 1
    """Its call is enqueued as the new message."""
    REVOKED = 2
    """It is enqueued, and was revoked, because the new id had been."""
    REPEATED = 3
    """An earlier call with the same new id has done it."""


class Move(NamedTuple):
    """A message that is to wait in another queue.

    Attributes:
        new: its id, the other queue, its priority, and the envelope that names them; nothing else of it counts.
        stream: the name of the stream in which it waits, or to which it will come.
        entry: its entry there; empty: it waits for its time or for its limit.
    """

    new: NewMessage
    stream: str
    entry: str = ""


class StoredBulk(NamedTuple):
    """A bulk operation as it is noted. Times are ms since the epoch. ``note``: JSON: what it is."""

    id: str
    state: BulkState
    created_ms: int
    changed_ms: int
    note: str


class BulkCounts(NamedTuple):
    """How far a bulk operation is. ``refused``: it could not be done. ``restored``: dead letters that were put back."""

    total: int = 0
    done: int = 0
    applied: int = 0
    skipped: int = 0
    refused: int = 0
    restored: int = 0

    def plus(self, other: BulkCounts) -> BulkCounts:
        """Return the sums."""
        return BulkCounts(*map(sum, zip(self, other, strict=True)))


class BulkLease(NamedTuple):
    """What `BulkStore.take_bulk` returns.

    Attributes:
        bulk: the operation that is the caller's for a while; None: it has none.
        until_ms: until when, by the store's clock; to be given with the next call.
        wait_ms: if it has none: when to look again, ms from now; None: nothing is being applied.
    """

    bulk: StoredBulk | None = None
    until_ms: int = 0
    wait_ms: int | None = None
