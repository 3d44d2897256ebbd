"""The part of a `Store` that notes bulk operations: what they are about, how far they are, who applies them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from ..protocol.state import DeadLetter
from .bulk_types import BulkCounts, BulkLease, BulkState, Move, Replay, StoredBulk
from .types import NewMessage

__all__ = ["BulkStore"]


class BulkStore(Protocol):
    """What bulk operations change and read."""

    def put_bulk(self, bulk_id: str, state: BulkState, was: Collection[BulkState] = (), note: str = "") -> str:
        """Note a bulk operation, or move it to another state; return the state in which it was.

        Args:
            bulk_id: of it.
            state: in which it is to be.
            was: it is moved only if it is in one of these; empty: it is a new one.
            note: what it is; empty: as it is noted.
        """
        ...

    def bulk(self, bulk_id: str, /) -> StoredBulk | None:
        """Return a bulk operation; None: it is not known."""
        ...

    def bulks(self, limit: int = 100) -> list[StoredBulk]:
        """Return bulk operations, newest first, at most 100."""
        ...

    def put_bulk_members(self, bulk_id: str, tag: str, number: int, members: Sequence[str]) -> None:
        """Note what an operation is about: of each shard 100 with each call but the last, numbered from 0.

        ``members``: words without spaces. ``number`` -1: forget those of the shard that are noted.
        """
        ...

    def bulk_counts(self, bulk_id: str, /) -> BulkCounts:
        """Return how far a bulk operation is."""
        ...

    def bulk_members(self, bulk_id: str, tag: str) -> tuple[BulkCounts, list[str]]:
        """Return how far a bulk operation is on a shard, and the next members, at most 100; none: it is done there."""
        ...

    def advance_bulk(self, bulk_id: str, tag: str, at: int, counts: BulkCounts) -> bool:
        """Add what was done of the next members on a shard; return False if somebody else has noted that.

        Args:
            bulk_id: of it.
            tag: the shard.
            at: how many had been done there before.
            counts: of what was done now, ``total`` is not looked at.
        """
        ...

    def take_bulk(self, lease_ms: int, held: BulkLease | None = None) -> BulkLease:
        """Take an operation that is to be applied and that nobody has; ``held``: keep this one for another while."""
        ...

    def shard_dead_letters(self, tag: str, before: str = "") -> list[DeadLetter]:
        """Return dead letters of a shard, newest first, at most 100; ``before``: see `Transitions.dead_letters`."""
        ...

    def dead_letters_at(self, tag: str, entries: Sequence[str]) -> list[DeadLetter]:
        """Return those of these dead letters of a shard that are there; ``entries``: their cursors."""
        ...

    def replay_dead_letters(self, letters: Sequence[tuple[DeadLetter, NewMessage]]) -> list[Replay]:
        """Enqueue the calls of dead letters again, each as this new message on the same shard; the letters go.

        Raises:
            StoreFull: the server is out of memory; the same call may be repeated.
            NotDurable: it is done, but not as durable as was asked for; the same call may be repeated.
        """
        ...

    def move(self, tag: str, moves: Sequence[Move]) -> list[bool]:
        """Let messages of a shard wait in other queues, behind what waits there; delayed ones come there when due.

        Returns:
            Of each whether it is there now; False: it is held, finished, or has gone on since it was looked at.

        Raises:
            StoreFull: the server is out of memory; the same call may be repeated.
        """
        ...

    def discard_for_bulk(self, bulk_id: str, tag: str, letters: Sequence[tuple[str, str]]) -> list[bool]:
        """Delete dead letters of a shard, and keep them beside for an hour; False: it was not there.

        ``letters``: of each its cursor, and the id of its message, which is empty for bytes that are none.
        """
        ...

    def restore_dead_letters(self, bulk_id: str, tag: str) -> tuple[int, bool]:
        """Put some of those back that an operation has discarded; return how many, and whether there are more."""
        ...
