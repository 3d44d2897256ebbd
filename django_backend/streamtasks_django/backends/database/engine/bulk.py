"""Bulk operations on a SQL store: a row for each, for each hundred of its members, and for what it has discarded.

What they do is what ``put_bulk.lua``, ``take_bulk.lua`` and the others do. All shards are one here: dead letters count
to the first, and the tag of members only groups them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from streamtasks.protocol.keys import stream_name
from streamtasks.protocol.state import DeadLetter
from streamtasks.stores.bulk_types import (
    ACTIVE_BULKS,
    BULK_KEPT_MS,
    DISCARDED_KEPT_MS,
    MOST_BULKS,
    BulkCounts,
    BulkLease,
    BulkState,
    Move,
    Replay,
    StoredBulk,
)
from streamtasks.stores.letter_cursor import entry_of
from streamtasks.stores.memory import enqueue, revoke
from streamtasks.stores.rules import phases
from streamtasks.stores.types import NewMessage

from . import inspection
from . import letters as dead_letters
from .codec import decode, encode
from .rows import upsert
from .shard import SqlShard
from .steps import Steps

__all__ = ["BulkMethods"]

MOST: Final = 100
"""Operations, members or dead letters of one step at most."""

BULK: Final = "bulk"
"""The kind of rows of operations, in the order of their numbers."""

LEASE: Final = "bulk_lease"
"""The kind of rows of those that are to be applied; the number is until when somebody has it, ms."""

COUNTS: Final = "bulk_counts"
PART: Final = "bulk_part"
"""Of an operation and a tag: how far it is, and a hundred of its members each."""

DISCARDED: Final = "discarded"
"""Dead letters that an operation has discarded."""


def _rows(shard: SqlShard) -> Any:
    return shard.names.state.objects.using(shard.using)


def _put_row(shard: SqlShard, kind: str, name: str, value: Any, *, kept_ms: int = 0, number: int = 0) -> None:
    expires_ms = shard.now_ms() + kept_ms if kept_ms else 0
    row = shard.names.state(name=f"{kind}:{name}", kind=kind, number=number, expires_ms=expires_ms, data=encode(value))
    upsert(shard.using, shard.names.state, [row])


def _value(shard: SqlShard, kind: str, name: str) -> Any:
    """Return what a row holds; None: there is no such row."""
    for data in _rows(shard).filter(name=f"{kind}:{name}").values_list("data", flat=True):
        return decode(bytes(data))
    return None


# -- operations ---------------------------------------------------------------------------------------------


def _stored(shard: SqlShard, bulk_id: str) -> StoredBulk | None:
    found = _value(shard, BULK, bulk_id)
    return None if found is None else _stored_of(bulk_id, found)


def _stored_of(bulk_id: str, value: Any) -> StoredBulk:
    state, *others = value
    return StoredBulk(bulk_id, BulkState(state), *others)


def _put(shard: SqlShard, bulk_id: str, state: BulkState, was: Collection[BulkState], note: str) -> str:
    known, now_ms = _stored(shard, bulk_id), shard.now_ms()
    if known is None and was:
        return ""
    if known is not None and known.state not in was:
        return known.state.value
    if known is None:
        _put_row(shard, BULK, bulk_id, (state.value, now_ms, now_ms, note), number=int(shard.new_entry()))
    else:
        value = (state.value, known.created_ms, now_ms, note or known.note)
        _rows(shard).filter(name=f"{BULK}:{bulk_id}").update(data=encode(value))
    lease = f"{LEASE}:{bulk_id}"
    if state not in ACTIVE_BULKS:
        _rows(shard).filter(name=lease).delete()
    elif not _rows(shard).filter(name=lease).exists():
        _put_row(shard, LEASE, bulk_id, None)
    if state in ACTIVE_BULKS:
        shard.push("control", "bulk")
    _forget_old(shard, bulk_id)
    return known.state.value if known is not None else ""


def _forget_old(shard: SqlShard, bulk_id: str) -> None:
    """Delete the oldest operations, but those that are active; their members go when their time is over."""
    old = _rows(shard).filter(kind=BULK).order_by("-number").values_list("name", flat=True)
    names = set(old[MOST_BULKS : MOST_BULKS + MOST]) - {f"{BULK}:{bulk_id}"}
    if names:
        leases = _rows(shard).filter(kind=LEASE).values_list("name", flat=True)
        names -= {f"{BULK}:{lease.removeprefix(f'{LEASE}:')}" for lease in leases}
        _rows(shard).filter(name__in=names).delete()


def _listed(shard: SqlShard, limit: int) -> list[StoredBulk]:
    rows = _rows(shard).filter(kind=BULK).order_by("-number").values_list("name", "data")[: min(limit, MOST)]
    return [_stored_of(name.removeprefix(f"{BULK}:"), decode(bytes(data))) for name, data in rows]


def _take(shard: SqlShard, lease_ms: int, held: BulkLease | None) -> BulkLease:
    leases = _rows(shard).filter(kind=LEASE)
    now_ms, wait_ms = shard.now_ms(), None
    for name, until_ms in leases.order_by("number", "name").values_list("name", "number")[:MOST]:
        bulk, left_ms = _stored(shard, name.removeprefix(f"{LEASE}:")), until_ms - now_ms
        if held is not None and held.bulk is not None:
            is_free = bulk is not None and held.bulk.id == bulk.id and held.until_ms == until_ms
        else:  # one that lies further ahead than a lease is of a time before the clock went back
            is_free = not 0 < left_ms <= lease_ms
        if bulk is not None and is_free:
            leases.filter(name=name).update(number=now_ms + lease_ms)
            return BulkLease(bulk, now_ms + lease_ms)
        wait_ms = left_ms if wait_ms is None else min(wait_ms, left_ms)
    return BulkLease(wait_ms=0 if held is not None else wait_ms)


# -- members ------------------------------------------------------------------------------------------------


def _counts(shard: SqlShard, where: str) -> BulkCounts | None:
    found = _value(shard, COUNTS, where)
    return None if found is None else BulkCounts(*found)


def _put_counts(shard: SqlShard, where: str, counts: BulkCounts) -> None:
    _put_row(shard, COUNTS, where, tuple(counts), kept_ms=BULK_KEPT_MS)


def _part(where: str, number: int) -> str:
    return f"{where}/{number:08}"


def _put_members(shard: SqlShard, where: str, number: int, members: Sequence[str]) -> None:
    if number < 0:
        rows = _rows(shard)
        rows.filter(kind=PART, name__startswith=f"{PART}:{where}/").delete()
        rows.filter(name=f"{COUNTS}:{where}").delete()
        return
    counts = _counts(shard, where) or BulkCounts()
    if number * MOST >= counts.total:
        _put_row(shard, PART, _part(where, number), list(members), kept_ms=BULK_KEPT_MS)
        _put_counts(shard, where, counts._replace(total=counts.total + len(members)))


def _next_members(shard: SqlShard, where: str) -> tuple[BulkCounts, list[str]]:
    counts = _counts(shard, where) or BulkCounts()
    number, first = divmod(counts.done, MOST)
    return counts, (_value(shard, PART, _part(where, number)) or [])[first:]


def _advance(shard: SqlShard, where: str, at: int, done: BulkCounts) -> bool:
    known = _counts(shard, where)
    if known is None:
        return False
    counts = known.plus(BulkCounts(restored=done.restored))
    is_next = bool(done.done) and known.done == at
    if is_next:
        counts = counts.plus(done._replace(total=0, restored=0))
        if counts.done == counts.total or counts.done // MOST > at // MOST:
            _rows(shard).filter(name=f"{PART}:{_part(where, at // MOST)}").delete()
    _put_counts(shard, where, counts)
    return is_next


# -- dead letters, and messages in other queues -------------------------------------------------------------


def _replay(shard: SqlShard, letters: Sequence[tuple[DeadLetter, NewMessage]]) -> list[Replay]:
    live: Any = shard.live
    records: Any = shard.records
    live.load(new.id for _, new in letters)
    records.load(new.id for _, new in letters)
    found = []
    taken = dead_letters.take(shard, [(letter.cursor, letter.id) for letter, _ in letters])
    for (_, new), letter in zip(letters, taken, strict=True):
        if letter is None:
            is_known = new.id in live or shard.record(new.id) is not None
            found.append(Replay.REPEATED if is_known else Replay.GONE)
        elif not enqueue.accept(shard, new):
            found.append(Replay.REPEATED)
        else:
            is_revoked = live[new.id].skip_reason == "revoked"
            found.append(Replay.REVOKED if is_revoked else Replay.ENQUEUED)
            revoke.end_revoked_before(shard, new.id)
    return found


def _discard(shard: SqlShard, where: str, letters: Sequence[tuple[str, str]]) -> list[bool]:
    found = dead_letters.take(shard, letters)
    for letter in filter(None, found):
        _put_row(shard, DISCARDED, f"{where}/{shard.new_entry():>020}", letter, kept_ms=DISCARDED_KEPT_MS)
    return [letter is not None for letter in found]


def _restore(shard: SqlShard, where: str) -> tuple[int, bool]:
    rows = _rows(shard).filter(kind=DISCARDED, name__startswith=f"{DISCARDED}:{where}/")
    kept = rows.filter(expires_ms__gt=shard.now_ms()).order_by("name")
    some = list(kept.values_list("name", "data")[: MOST + 1])
    for _, data in some[:MOST]:
        letter: DeadLetter = decode(bytes(data))
        shard.bury_letter(letter, dead_letters.size_of(letter))
    rows.filter(name__in=[name for name, _ in some[:MOST]]).delete()
    return len(some[:MOST]), len(some) > MOST


def _move(shard: SqlShard, one: Move) -> bool:
    """Move a message that nobody holds, and that waits where it was seen; return whether it is there now."""
    new = one.new
    rows = shard.names.message.objects.using(shard.using).filter(id=new.id)
    for row in rows.only("queue", "priority", "phase", "place", "envelope"):
        if bytes(row.envelope) == new.envelope:
            return True  # an earlier call has done it
        if stream_name(row.queue, row.priority) != one.stream:
            return False
        is_ready = row.phase in (phases.QUEUED, phases.SUSPECT)
        if not is_ready and row.phase not in (phases.DELAYED, phases.LIMITED):
            return False
        if is_ready and str(row.place) != one.entry:
            return False
        # The conditions again: a claim does not wait for the lock of steps.
        same = rows.filter(phase=row.phase, place=row.place, queue=row.queue, priority=row.priority)
        place = int(shard.new_entry()) if is_ready else row.place
        moved = same.update(queue=new.queue, priority=new.priority, envelope=new.envelope, place=place)
        if moved and is_ready:
            shard.wake("")
        return bool(moved)
    return False


class BulkMethods(Steps):
    """The methods of `BulkStore`. Changes do not wait for the caller's transaction; see `Steps.outside`."""

    def put_bulk(self, bulk_id: str, state: BulkState, was: Collection[BulkState] = (), note: str = "") -> str:
        """See `BulkStore.put_bulk`."""
        return self.change(lambda shard: _put(shard, bulk_id, state, was, note))

    def bulk(self, bulk_id: str) -> StoredBulk | None:
        """See `BulkStore.bulk`."""
        return self.look(lambda shard: _stored(shard, bulk_id))

    def bulks(self, limit: int = 100) -> list[StoredBulk]:
        """See `BulkStore.bulks`."""
        return self.look(lambda shard: _listed(shard, limit))

    def put_bulk_members(self, bulk_id: str, tag: str, number: int, members: Sequence[str]) -> None:
        """See `BulkStore.put_bulk_members`."""
        self.change(lambda shard: _put_members(shard, f"{bulk_id}/{tag}", number, members))

    def bulk_counts(self, bulk_id: str) -> BulkCounts:
        """See `BulkStore.bulk_counts`."""

        def look(shard: SqlShard) -> BulkCounts:
            found = BulkCounts()
            for tag in self.tags:
                found = found.plus(_counts(shard, f"{bulk_id}/{tag}") or BulkCounts())
            return found

        return self.look(look)

    def bulk_members(self, bulk_id: str, tag: str) -> tuple[BulkCounts, list[str]]:
        """See `BulkStore.bulk_members`."""
        return self.look(lambda shard: _next_members(shard, f"{bulk_id}/{tag}"))

    def advance_bulk(self, bulk_id: str, tag: str, at: int, counts: BulkCounts) -> bool:
        """See `BulkStore.advance_bulk`."""
        return self.change(lambda shard: _advance(shard, f"{bulk_id}/{tag}", at, counts))

    def take_bulk(self, lease_ms: int, held: BulkLease | None = None) -> BulkLease:
        """See `BulkStore.take_bulk`. Where nothing is to be applied, nobody waits for the lock of steps."""
        if held is None and not self.look(lambda shard: _rows(shard).filter(kind=LEASE).exists()):
            return BulkLease()
        return self.change(lambda shard: _take(shard, lease_ms, held))

    def shard_dead_letters(self, tag: str, before: str = "") -> list[DeadLetter]:
        """See `BulkStore.shard_dead_letters`."""
        if tag != self.tags[0]:
            return []
        found = self.look(lambda shard: inspection.dead_letters(shard, MOST, before))
        return [letter._replace(wire=self.settings.wire) for letter in found]

    def dead_letters_at(self, tag: str, entries: Sequence[str]) -> list[DeadLetter]:  # noqa: ARG002
        """See `BulkStore.dead_letters_at`."""
        found = self.look(lambda shard: dead_letters.at(shard, list(map(entry_of, entries))))
        return [letter._replace(wire=self.settings.wire) for letter in found]

    def replay_dead_letters(self, letters: Sequence[tuple[DeadLetter, NewMessage]]) -> list[Replay]:
        """See `BulkStore.replay_dead_letters`."""
        return self.change(lambda shard: _replay(shard, letters))

    def move(self, tag: str, moves: Sequence[Move]) -> list[bool]:  # noqa: ARG002
        """See `BulkStore.move`."""
        return self.change(lambda shard: [_move(shard, one) for one in moves])

    def discard_for_bulk(self, bulk_id: str, tag: str, letters: Sequence[tuple[str, str]]) -> list[bool]:
        """See `BulkStore.discard_for_bulk`."""
        return self.change(lambda shard: _discard(shard, f"{bulk_id}/{tag}", letters))

    def restore_dead_letters(self, bulk_id: str, tag: str) -> tuple[int, bool]:
        """See `BulkStore.restore_dead_letters`."""
        return self.change(lambda shard: _restore(shard, f"{bulk_id}/{tag}"))
