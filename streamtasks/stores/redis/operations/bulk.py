"""Bulk operations: their notes and members, who applies them, and what they do with dead letters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import batched
from typing import Any

from ....protocol.durability import MEMORY
from ....protocol.keys import Keys, stream_name
from ....protocol.state import DeadLetter
from ....settings import StoreSettings
from ...bulk_types import (
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
from ...letter_cursor import entry_of
from ...types import NewMessage
from ..batches import MOST, MOST_BYTES, batches
from ..scripts import Call, script
from ..shards import Operation, Request, Shards
from .durable import durable_calls, strongest
from .enqueue import conditions
from .inspection import dead_letters_call, dead_letters_of
from .revoke import revoke_many
from .steering import discard_dead_call

__all__ = [
    "advance_bulk",
    "bulk",
    "bulk_counts",
    "bulk_members",
    "bulks",
    "dead_letters_at",
    "discard_for_bulk",
    "move",
    "move_call",
    "put_bulk",
    "put_bulk_members",
    "replay_dead_call",
    "replay_dead_letters",
    "restore_dead_letters",
    "shard_dead_letters",
    "take_bulk",
]


def _first(shards: Shards) -> Keys:
    """Return the keys of the shard where all operations are noted."""
    return shards.by_tag[shards.tags[0]].keys


def put_bulk(
    shards: Shards, bulk_id: str, state: BulkState, was: Collection[BulkState] = (), note: str = ""
) -> Operation[str]:
    """See `BulkStore.put_bulk`."""
    call = script("put_bulk").call(
        _first(shards),
        id=bulk_id,
        state=state.value,
        was=f" {' '.join(was)} " if was else "",
        active=int(state in ACTIVE_BULKS),
        note=note,
        most=MOST_BULKS,
    )
    [before] = yield [call]
    return before.decode()  # type: ignore[no-any-return]


def _stored(bulk_id: bytes, text: bytes) -> StoredBulk:
    state, created, changed, note = text.decode().split(" ", 3)
    return StoredBulk(bulk_id.decode(), BulkState(state), int(created), int(changed), note)


def bulk(shards: Shards, bulk_id: str) -> Operation[StoredBulk | None]:
    """See `BulkStore.bulk`."""
    [flat] = yield [script("bulks").call(_first(shards), id=bulk_id, most=1)]
    return _stored(*flat) if flat else None


def bulks(shards: Shards, limit: int = 100) -> Operation[list[StoredBulk]]:
    """See `BulkStore.bulks`."""
    [flat] = yield [script("bulks").call(_first(shards), id="", most=min(limit, MOST))]
    return [_stored(*pair) for pair in batched(flat, 2)]


def put_bulk_members(shards: Shards, bulk_id: str, tag: str, number: int, members: Sequence[str]) -> Operation[None]:
    """See `BulkStore.put_bulk_members`."""
    keys = shards.by_tag[tag].keys
    yield [
        script("put_bulk_members").call(
            keys,
            bulk=keys.bulk(bulk_id),
            number=number,
            members=" ".join(members),
            count=len(members),
            keep_ms=BULK_KEPT_MS,
        )
    ]


def _members_call(keys: Keys, bulk_id: str, wanted: bool) -> Call:
    return script("bulk_members").call(keys, bulk=keys.bulk(bulk_id), wanted=int(wanted))


def bulk_counts(shards: Shards, bulk_id: str) -> Operation[BulkCounts]:
    """See `BulkStore.bulk_counts`."""
    found = BulkCounts()
    for reply in (yield [_members_call(shard.keys, bulk_id, False) for shard in shards.by_tag.values()]):
        found = found.plus(BulkCounts(*reply[:6]))
    return found


def bulk_members(shards: Shards, bulk_id: str, tag: str) -> Operation[tuple[BulkCounts, list[str]]]:
    """See `BulkStore.bulk_members`."""
    [reply] = yield [_members_call(shards.by_tag[tag].keys, bulk_id, True)]
    counts = BulkCounts(*reply[:6])
    return counts, (reply[6] or b"").decode().split()[counts.done % MOST :]


def advance_bulk(shards: Shards, bulk_id: str, tag: str, at: int, counts: BulkCounts) -> Operation[bool]:
    """See `BulkStore.advance_bulk`."""
    keys = shards.by_tag[tag].keys
    [[noted]] = yield [
        script("advance_bulk").call(
            keys,
            bulk=keys.bulk(bulk_id),
            at=at,
            count=counts.done,
            applied=counts.applied,
            skipped=counts.skipped,
            refused=counts.refused,
            restored=counts.restored,
        )
    ]
    return noted == 1  # type: ignore[no-any-return]


def take_bulk(shards: Shards, lease_ms: int, held: BulkLease | None = None) -> Operation[BulkLease]:
    """See `BulkStore.take_bulk`."""
    bulk_id, until_ms = (held.bulk.id, held.until_ms) if held is not None and held.bulk is not None else ("", 0)
    [[found, number, text]] = yield [
        script("take_bulk").call(_first(shards), id=bulk_id, held_until=until_ms, lease_ms=lease_ms)
    ]
    if found and text:
        return BulkLease(_stored(found, text), int(number))
    return BulkLease(wait_ms=None if int(number) < 0 else int(number))


# -- dead letters ------------------------------------------------------------------------------------


def shard_dead_letters(shards: Shards, tag: str, before: str = "") -> Operation[list[DeadLetter]]:
    """See `BulkStore.shard_dead_letters`."""
    [[_, *raw]] = yield [dead_letters_call(shards.by_tag[tag].keys, entry_of(before) or "+", MOST)]
    return dead_letters_of(raw, tag, shards.tags, shards.settings.wire)


def dead_letters_at(shards: Shards, tag: str, entries: Sequence[str]) -> Operation[list[DeadLetter]]:
    """See `BulkStore.dead_letters_at`."""
    keys, left = shards.by_tag[tag].keys, [entry_of(one) for one in entries]
    found: list[DeadLetter] = []
    while left:
        some = left[:MOST]
        call = script("dead_letters").call(keys, before="", most=MOST, most_bytes=MOST_BYTES, more_args=some)
        [[has_more, *raw]] = yield [call]
        letters = dead_letters_of(raw, tag, shards.tags, shards.settings.wire)
        found += letters
        left = left[some.index(entry_of(letters[-1].cursor)) + 1 if has_more else len(some) :]
    return found


def replay_dead_call(keys: Keys, pairs: Sequence[tuple[DeadLetter, NewMessage]], settings: StoreSettings) -> Call:
    """Build replay_dead: up to 100 of one shard."""
    numbers: dict[str, int] = {}
    members: list[Any] = []
    for letter, new in pairs:
        number = numbers.setdefault(stream_name(new.queue, new.priority), len(numbers) + 1)
        members += (entry_of(letter.cursor), new.id, number, conditions(new), new.envelope)
    return script("replay_dead").call(
        keys,
        count=len(pairs),
        events_kept=settings.events_kept,
        streams=numbers,
        more_keys=[keys.record(new.id) for _, new in pairs],
        more_args=members,
    )


def replay_dead_letters(shards: Shards, letters: Sequence[tuple[DeadLetter, NewMessage]]) -> Operation[list[Replay]]:
    """See `BulkStore.replay_dead_letters`."""
    found = [Replay.GONE] * len(letters)
    requests: list[Call] = []
    places_of: list[list[int]] = []
    for tag, places in shards.indexes_by_tag(letter.id for letter, _ in letters).items():
        keys = shards.by_tag[tag].keys
        for some in batches(places, lambda place: len(letters[place][1].envelope)):
            requests.append(replay_dead_call(keys, [letters[place] for place in some], shards.settings))
            places_of.append(some)
    settings = shards.settings
    level = strongest({new.durability for _, new in letters}, settings)
    if level == MEMORY or not requests:
        replies = yield Request(requests, settings.enqueue_retry_s)
    else:
        ids = [new.id for _, new in letters]
        replies = (yield from durable_calls(shards, requests, level, settings.enqueue_retry_s, ids))[0]
    for some, reply in zip(places_of, replies, strict=True):
        for place, code in zip(some, reply[1:], strict=True):
            found[place] = Replay(code)
    revoked = [new.id for (_, new), code in zip(letters, found, strict=True) if code is Replay.REVOKED]
    if revoked:
        yield from revoke_many(shards, revoked)
    return found


def move_call(keys: Keys, moves: Sequence[Move]) -> Call:
    """Build move: up to 100 of one shard."""
    numbers: dict[str, int] = {}
    members: list[Any] = []
    for one in moves:
        old, to = (
            numbers.setdefault(name, len(numbers) + 1)
            for name in (one.stream, stream_name(one.new.queue, one.new.priority))
        )
        members += (one.new.id, one.entry, old, to, one.new.envelope)
    return script("move").call(keys, streams=numbers, more_args=members)


def move(shards: Shards, tag: str, moves: Sequence[Move]) -> Operation[list[bool]]:
    """See `BulkStore.move`."""
    keys = shards.by_tag[tag].keys
    calls = [move_call(keys, some) for some in batches(moves, lambda one: len(one.new.envelope))]
    if not calls:
        return []
    replies = yield Request(calls, shards.settings.enqueue_retry_s)
    return [code > 0 for reply in replies for code in reply]


def discard_for_bulk(
    shards: Shards, bulk_id: str, tag: str, letters: Sequence[tuple[str, str]]
) -> Operation[list[bool]]:
    """See `BulkStore.discard_for_bulk`."""
    keys = shards.by_tag[tag].keys
    found: list[bool] = []
    while len(found) < len(letters):
        some = [(entry_of(cursor), task_id) for cursor, task_id in letters[len(found) : len(found) + MOST]]
        [reply] = yield [discard_dead_call(keys, some, bulk_id, DISCARDED_KEPT_MS)]
        found += map(bool, reply)
    return found


def restore_dead_letters(shards: Shards, bulk_id: str, tag: str) -> Operation[tuple[int, bool]]:
    """See `BulkStore.restore_dead_letters`."""
    keys, settings = shards.by_tag[tag].keys, shards.settings
    [[restored, more]] = yield [
        script("restore_dead").call(
            keys,
            discarded=keys.discarded(bulk_id),
            most=MOST,
            most_bytes=MOST_BYTES,
            dead_kept=settings.max_dead_letters,
            dead_bytes_kept=settings.max_dead_letter_bytes,
        )
    ]
    return restored, bool(more)
