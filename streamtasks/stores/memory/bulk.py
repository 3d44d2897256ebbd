"""Bulk operations: their notes and members, who applies them, and what they do with dead letters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from ...protocol.shards import tag_of
from ...protocol.state import DeadLetter
from ...settings import StoreSettings
from ..bulk_types import (
    ACTIVE_BULKS,
    DISCARDED_KEPT_MS,
    MOST_BULKS,
    BulkCounts,
    BulkLease,
    BulkState,
    Move,
    Replay,
    StoredBulk,
)
from ..letter_cursor import cursor_of, entry_of
from ..types import NewMessage
from . import revoke
from .enqueue import accept
from .move import move
from .server import MemoryServer
from .shard import Shard
from .state import BulkMembers, entry_age
from .steering import discard

__all__ = ["BulkMethods"]

MOST: Final = 100


def replay(shard: Shard, letter: DeadLetter, new: NewMessage) -> Replay:
    """Enqueue the call of a dead letter again (replay_dead.lua)."""
    if not discard(shard, letter):
        return Replay.REPEATED if new.id in shard.live or shard.record(new.id) is not None else Replay.GONE
    if not accept(shard, new):
        return Replay.REPEATED
    return Replay.REVOKED if shard.live[new.id].skip_reason == "revoked" else Replay.ENQUEUED


class BulkMethods:
    """The methods of `BulkStore`, for `MemoryStore`."""

    settings: StoreSettings
    server: MemoryServer

    @property
    def _first(self) -> Shard:
        return self.server.shard(self.settings, self.settings.tags[0])

    def _members(self, bulk_id: str, tag: str) -> BulkMembers:
        return self.server.shard(self.settings, tag).bulk_members.setdefault(bulk_id, BulkMembers())

    def put_bulk(self, bulk_id: str, state: BulkState, was: Collection[BulkState] = (), note: str = "") -> str:
        """See `BulkStore.put_bulk`."""
        with self.server.step():
            first = self._first
            now_ms = first.now_ms()
            known = first.bulks.get(bulk_id)
            if known is None and was:
                return ""
            if known is None:
                first.bulks[bulk_id] = (StoredBulk(bulk_id, state, now_ms, now_ms, note), 0)
            elif known[0].state in was:
                moved = known[0]._replace(state=state, changed_ms=now_ms, note=note or known[0].note)
                first.bulks[bulk_id] = (moved, known[1] if known[0].state in ACTIVE_BULKS else 0)
            if state in ACTIVE_BULKS:
                first.push("control", "bulk")
            for old in list(first.bulks)[: max(0, len(first.bulks) - MOST_BULKS)]:
                if first.bulks[old][0].state not in ACTIVE_BULKS:
                    del first.bulks[old]
                    for tag in self.settings.tags:
                        self.server.shard(self.settings, tag).bulk_members.pop(old, None)
            return known[0].state.value if known is not None else ""

    def bulk(self, bulk_id: str) -> StoredBulk | None:
        """See `BulkStore.bulk`."""
        with self.server.lock:
            known = self._first.bulks.get(bulk_id)
            return None if known is None else known[0]

    def bulks(self, limit: int = 100) -> list[StoredBulk]:
        """See `BulkStore.bulks`."""
        with self.server.lock:
            return [one for one, _ in reversed(self._first.bulks.values())][: min(limit, MOST)]

    def put_bulk_members(self, bulk_id: str, tag: str, number: int, members: Sequence[str]) -> None:
        """See `BulkStore.put_bulk_members`."""
        with self.server.step():
            known = self._members(bulk_id, tag)
            if number < 0:
                known.members.clear()
                known.counts = BulkCounts()
            elif number * MOST >= known.counts.total:
                known.members += members
                known.counts = known.counts._replace(total=known.counts.total + len(members))

    def bulk_counts(self, bulk_id: str) -> BulkCounts:
        """See `BulkStore.bulk_counts`."""
        found = BulkCounts()
        with self.server.lock:
            for tag in self.settings.tags:
                found = found.plus(self._members(bulk_id, tag).counts)
        return found

    def bulk_members(self, bulk_id: str, tag: str) -> tuple[BulkCounts, list[str]]:
        """See `BulkStore.bulk_members`."""
        with self.server.lock:
            known = self._members(bulk_id, tag)
            done = known.counts.done
            return known.counts, known.members[done : done - done % MOST + MOST]

    def advance_bulk(self, bulk_id: str, tag: str, at: int, counts: BulkCounts) -> bool:
        """See `BulkStore.advance_bulk`."""
        with self.server.step():
            known = self._members(bulk_id, tag)
            known.counts = known.counts.plus(BulkCounts(restored=counts.restored))
            if not counts.done or known.counts.done != at:
                return False
            known.counts = known.counts.plus(counts._replace(total=0, restored=0))
            return True

    def take_bulk(self, lease_ms: int, held: BulkLease | None = None) -> BulkLease:
        """See `BulkStore.take_bulk`."""
        with self.server.step():
            first = self._first
            now_ms, wait_ms = first.now_ms(), None
            for bulk, until_ms in list(first.bulks.values()):
                if bulk.state not in ACTIVE_BULKS:
                    continue
                left_ms = until_ms - now_ms
                if held is not None and held.bulk is not None:
                    is_free = held.bulk.id == bulk.id and held.until_ms == until_ms
                else:
                    is_free = not 0 < left_ms <= lease_ms
                if is_free:
                    first.bulks[bulk.id] = (bulk, now_ms + lease_ms)
                    return BulkLease(bulk, now_ms + lease_ms)
                wait_ms = left_ms if wait_ms is None else min(wait_ms, left_ms)
            return BulkLease(wait_ms=0 if held is not None else wait_ms)

    # -- dead letters --------------------------------------------------------------------------------

    def shard_dead_letters(self, tag: str, before: str = "") -> list[DeadLetter]:
        """See `BulkStore.shard_dead_letters`."""
        with self.server.lock:
            letters = [letter for letter, _ in reversed(self.server.shard(self.settings, tag).dead)]
        found = [one for one in letters if not before or entry_age(one.cursor) < entry_age(entry_of(before))]
        return [self._shown(letter, tag) for letter in found[:MOST]]

    def dead_letters_at(self, tag: str, entries: Sequence[str]) -> list[DeadLetter]:
        """See `BulkStore.dead_letters_at`."""
        with self.server.lock:
            by_cursor = {letter.cursor: letter for letter, _ in self.server.shard(self.settings, tag).dead}
        wanted = map(entry_of, entries)
        return [self._shown(by_cursor[entry], tag) for entry in wanted if entry in by_cursor]

    def _shown(self, letter: DeadLetter, tag: str) -> DeadLetter:
        return letter._replace(wire=self.settings.wire, cursor=cursor_of(letter.cursor, tag, self.settings.tags))

    def replay_dead_letters(self, letters: Sequence[tuple[DeadLetter, NewMessage]]) -> list[Replay]:
        """See `BulkStore.replay_dead_letters`.

        Raises:
            StoreFull: there would be more than ``max_tasks`` unfinished tasks; nothing was stored.
        """
        with self.server.step():
            shards = [self.server.shard(self.settings, tag_of(one.id, self.settings.tags)) for one, _ in letters]
            self.server.make_room(shards, [new for _, new in letters])
            found = [replay(shard, *pair) for shard, pair in zip(shards, letters, strict=True)]
            for shard, (_, new), code in zip(shards, letters, found, strict=True):
                if code is Replay.REVOKED:
                    revoke.end_revoked_before(shard, new.id)
            return found

    def move(self, tag: str, moves: Sequence[Move]) -> list[bool]:
        """See `BulkStore.move`."""
        with self.server.step():
            shard = self.server.shard(self.settings, tag)
            return [move(shard, one) for one in moves]

    def discard_for_bulk(self, bulk_id: str, tag: str, letters: Sequence[tuple[str, str]]) -> list[bool]:
        """See `BulkStore.discard_for_bulk`."""
        with self.server.step():
            shard = self.server.shard(self.settings, tag)
            known = self._members(bulk_id, tag)
            by_cursor = {letter.cursor: (letter, size) for letter, size in shard.dead}
            found = []
            for cursor, task_id in letters:
                pair = by_cursor.get(entry_of(cursor))
                is_there = pair is not None and pair[0].id == task_id and discard(shard, pair[0])
                if pair is not None and is_there:
                    known.discarded.append(pair)
                found.append(is_there)
            known.discarded_until_ms = shard.now_ms() + DISCARDED_KEPT_MS
            return found

    def restore_dead_letters(self, bulk_id: str, tag: str) -> tuple[int, bool]:
        """See `BulkStore.restore_dead_letters`."""
        with self.server.step():
            shard = self.server.shard(self.settings, tag)
            known = self._members(bulk_id, tag)
            if known.discarded_until_ms <= shard.now_ms():
                known.discarded.clear()
            some, known.discarded = known.discarded[:MOST], known.discarded[MOST:]
            for letter, size in some:
                shard.bury_letter(letter._replace(cursor=shard.new_entry()), size)
            return len(some), bool(known.discarded)
