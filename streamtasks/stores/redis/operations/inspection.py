"""Read a store as a whole: counts, workers, running attempts, events and dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import batched
from typing import Any

import orjson

from ....protocol.keys import Keys
from ....protocol.state import FINAL_STATES, DeadLetter
from ....protocol.wire import Wire
from ...event_cursor import cursor_of as event_cursor_of
from ...event_cursor import positions_in
from ...inspection_types import LATEST, WATCH_MS, WATCHED_EVENTS, Active, Event, Events, Statistics, WorkerInfo
from ...letter_cursor import before_on, cursor_of, order_of
from ..batches import MOST, MOST_BYTES
from ..scripts import Call, script
from ..shards import Operation, Shards

__all__ = [
    "active",
    "active_call",
    "dead_letters",
    "dead_letters_call",
    "dead_letters_of",
    "events",
    "events_call",
    "queue_counts",
    "statistics",
    "statistics_call",
    "watch_events",
    "workers",
    "workers_call",
]

MOST_WORKERS = 1000
_COUNTS = (*sorted(state.value for state in FINAL_STATES), "RETRY", "CRASH", "RECLAIMED")
_TIME = "ms"


def dead_letters_call(keys: Keys, before: str, most: int) -> Call:
    """Build dead_letters."""
    return script("dead_letters").call(keys, before=before, most=most, most_bytes=MOST_BYTES)


def active_call(keys: Keys, most: int, place: int = 0) -> Call:
    """Build active; ``place``: how many to pass over."""
    return script("active").call(keys, place=place, most=most, most_bytes=MOST_BYTES)


def statistics_call(keys: Keys, fields: Sequence[str]) -> Call:
    """Build statistics; ``fields``: those of the totals that are wanted."""
    return script("statistics").call(keys, more_args=fields)


def workers_call(keys: Keys, most: int) -> Call:
    """Build workers."""
    return script("workers").call(keys, most=most)


def events_call(keys: Keys, after: str, most: int) -> Call:
    """Build events."""
    return script("events").call(keys, after=after, most=most)


def active(shards: Shards, limit: int = 100) -> Operation[list[Active]]:
    """See `Store.active`."""
    most = min(limit, MOST)
    found: dict[bytes, Active] = {}
    left = [(shard.keys, 0) for shard in shards.by_tag.values()]
    while left:
        replies = yield [active_call(keys, most - place, place) for keys, place in left]
        for _, *flat in replies:
            for task_id, started, worker, body in batched(flat, 4):
                found[task_id] = Active(task_id.decode(), int(started), worker.decode(), body)
        left = [(keys, reply[0]) for (keys, _), reply in zip(left, replies, strict=True) if 0 <= reply[0] < most]
    return sorted(found.values(), key=lambda one: one.started_ms)[:limit]


def statistics(shards: Shards) -> Operation[Statistics]:
    """See `Store.statistics`."""
    fields = (*_COUNTS, _TIME)
    replies = yield [statistics_call(shard.keys, fields) for shard in shards.by_tag.values()]
    unfinished, running, delayed = (sum(reply[place] for reply in replies) for place in range(3))
    counts = {field: sum(int(reply[3][place] or 0) for reply in replies) for place, field in enumerate(fields)}
    run_ms = counts.pop(_TIME)
    return Statistics(unfinished, running, delayed, {name: count for name, count in counts.items() if count}, run_ms)


def queue_counts(shards: Shards, queue: str, minutes: int) -> Operation[tuple[int, int]]:
    """See `Store.queue_counts`."""
    outcomes = sorted(state.value for state in FINAL_STATES)
    found = {}
    left = list(shards.by_tag.values())
    for _ in range(3):
        calls = [
            script("queue_counts").call(
                shard.keys,
                counts=shard.keys.counts(shard.hour()),
                earlier=shard.keys.counts(shard.hour() - 1),
                hour=shard.hour(),
                queue=queue,
                minutes=minutes,
                more_args=outcomes,
            )
            for shard in left
        ]
        replies = yield calls
        again = []
        for shard, (now_ms, finished, ms) in zip(left, replies, strict=True):
            if finished < 0:
                shard.learn_clock(now_ms)
                again.append(shard)
            else:
                found[shard.keys.tag] = finished, ms
        if not again:
            break
        left = again
    return sum(one[0] for one in found.values()), sum(one[1] for one in found.values())


def workers(shards: Shards) -> Operation[list[WorkerInfo]]:
    """See `Store.workers`: a worker serves every shard, so its latest beat counts."""
    replies = yield [workers_call(shard.keys, MOST_WORKERS) for shard in shards.by_tag.values()]
    found: dict[str, WorkerInfo] = {}
    for flat in replies:
        for name, beat, silent, info in batched(flat, 4):
            worker = WorkerInfo(name.decode(), int(beat), orjson.loads(info), int(silent))
            known = found.get(worker.name)
            if known is None or worker.beat_ms >= known.beat_ms:
                found[worker.name] = worker
    return sorted(found.values(), key=lambda worker: worker.name)


def watch_events(shards: Shards) -> Operation[None]:
    """See `Store.watch_events`."""
    yield [
        script("watch_events").call(shard.keys, kept=WATCHED_EVENTS, watch_ms=WATCH_MS)
        for shard in shards.by_tag.values()
    ]


def events(shards: Shards, after: str = "", limit: int = 100) -> Operation[Events]:
    """See `Store.events`. A cursor holds one entry's id per shard."""
    if after == LATEST:
        replies = yield [events_call(shard.keys, LATEST, 1) for shard in shards.by_tag.values()]
        latest = zip(shards.by_tag, replies, strict=True)
        return Events(
            [], event_cursor_of({tag: entries[0][0].decode() if entries else "0-0" for tag, entries in latest})
        )
    cursors = positions_in(after)
    requests = [events_call(shard.keys, cursors.get(tag, ""), min(limit, MOST)) for tag, shard in shards.by_tag.items()]
    found: list[Event] = []
    for tag, entries in zip(shards.by_tag, (yield requests), strict=True):
        for entry, flat in entries:
            cursors[tag] = entry.decode()
            at_ms = int(cursors[tag].partition("-")[0])
            words = [word.decode() for word in flat]
            found += (Event(at_ms, words[1], *pair) for pair in batched(words[2:], 2))
    return Events(sorted(found, key=lambda event: event.at_ms), event_cursor_of(cursors))


def dead_letters(shards: Shards, limit: int = 100, before: str = "") -> Operation[list[DeadLetter]]:
    """See `Store.dead_letters`."""
    tags, wire = shards.tags, shards.settings.wire
    found: list[DeadLetter] = []
    left = [(tag, before_on(tag, before, tags) if before else "+", min(limit, MOST)) for tag in tags]
    while left:
        replies = yield [dead_letters_call(shards.by_tag[tag].keys, last, most) for tag, last, most in left]
        more = []
        for (tag, _, most), (has_more, *entries) in zip(left, replies, strict=True):
            found += dead_letters_of(entries, tag, tags, wire)
            if has_more and len(entries) < most:
                more.append((tag, entries[-1][0].decode(), most - len(entries)))
        left = more
    return sorted(found, key=lambda letter: order_of(letter.cursor, tags), reverse=True)[:limit]


def dead_letters_of(entries: Sequence[Any], tag: str, tags: Sequence[str], wire: Wire) -> list[DeadLetter]:
    """Return dead letters of a shard as dead_letters.lua returns them."""
    return [_dead_letter(cursor_of(entry.decode(), tag, tags), flat, wire) for entry, flat in entries]


def _dead_letter(cursor: str, flat: list[bytes], wire: Wire) -> DeadLetter:
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    body = fields.get(b"message")
    return DeadLetter(
        cursor,
        fields.get(b"reason", b"").decode(),
        fields.get(b"id", b"").decode(),
        fields.get(b"stream", b"").decode(),
        int(fields.get(b"died") or cursor.partition("-")[0]),
        body.partition(b" ")[2] if body is not None else fields.get(b"data", b""),
        wire,
    )
