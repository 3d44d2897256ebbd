"""Bulk operations on a SQL store: there are none yet, and each call says so."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NoReturn

from streamtasks.exceptions import ServerNotSupported
from streamtasks.protocol.state import DeadLetter
from streamtasks.stores.bulk_types import BulkCounts, BulkLease, BulkState, Move, Replay, StoredBulk
from streamtasks.stores.types import NewMessage

__all__ = ["BulkMethods"]


def _refuse() -> NoReturn:
    raise ServerNotSupported(
        "A DatabaseBackend has no bulk operations yet: use the methods of the backend one by one, as revoke()."
    )


class BulkMethods:
    """The methods of `BulkStore`. All but replaying is refused; there is nothing to look at."""

    if TYPE_CHECKING:

        def enqueue(self, messages: Sequence[NewMessage], retry_time_s: float | None = None) -> list[bool]: ...
        def discard_dead_letters(self, letters: Sequence[DeadLetter]) -> int: ...

    def put_bulk(self, bulk_id: str, state: BulkState, was: Collection[BulkState] = (), note: str = "") -> str:  # noqa: ARG002
        """Refuse to note an operation.

        Raises:
            ServerNotSupported: always.
        """
        _refuse()

    def bulk(self, bulk_id: str) -> StoredBulk | None:  # noqa: ARG002
        """Return None: none is known."""
        return None

    def bulks(self, limit: int = 100) -> list[StoredBulk]:  # noqa: ARG002
        """Return operations: there are none."""
        return []

    def put_bulk_members(self, bulk_id: str, tag: str, number: int, members: Sequence[str]) -> None:  # noqa: ARG002
        """Refuse to note members.

        Raises:
            ServerNotSupported: always.
        """
        _refuse()

    def bulk_counts(self, bulk_id: str) -> BulkCounts:  # noqa: ARG002
        """Return zeros."""
        return BulkCounts()

    def bulk_members(self, bulk_id: str, tag: str) -> tuple[BulkCounts, list[str]]:  # noqa: ARG002
        """Return no members."""
        return BulkCounts(), []

    def advance_bulk(self, bulk_id: str, tag: str, at: int, counts: BulkCounts) -> bool:  # noqa: ARG002
        """Refuse to note progress.

        Raises:
            ServerNotSupported: always.
        """
        _refuse()

    def take_bulk(self, lease_ms: int, held: BulkLease | None = None) -> BulkLease:  # noqa: ARG002
        """Return that nothing is to be applied."""
        return BulkLease()

    def shard_dead_letters(self, tag: str, before: str = "") -> list[DeadLetter]:  # noqa: ARG002
        """Refuse to page through dead letters of a shard.

        Raises:
            ServerNotSupported: always.
        """
        _refuse()

    def dead_letters_at(self, tag: str, entries: Sequence[str]) -> list[DeadLetter]:  # noqa: ARG002
        """Refuse to look at some dead letters.

        Raises:
            ServerNotSupported: always.
        """
        _refuse()

    def replay_dead_letters(self, letters: Sequence[tuple[DeadLetter, NewMessage]]) -> list[Replay]:
        """Enqueue the calls of dead letters again, then delete the letters; repeating it enqueues nothing twice."""
        accepted = self.enqueue([new for _, new in letters])
        self.discard_dead_letters([letter for letter, _ in letters])
        return [Replay.ENQUEUED if is_new else Replay.REPEATED for is_new in accepted]

    def move(self, tag: str, moves: Sequence[Move]) -> list[bool]:  # noqa: ARG002
        """Refuse to move messages.

        Raises:
            ServerNotSupported: always.
        """
        _refuse()

    def discard_for_bulk(self, bulk_id: str, tag: str, letters: Sequence[tuple[str, str]]) -> list[bool]:  # noqa: ARG002
        """Refuse to discard.

        Raises:
            ServerNotSupported: always.
        """
        _refuse()

    def restore_dead_letters(self, bulk_id: str, tag: str) -> tuple[int, bool]:  # noqa: ARG002
        """Refuse to put dead letters back.

        Raises:
            ServerNotSupported: always.
        """
        _refuse()
