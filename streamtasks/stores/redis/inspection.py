"""Operations on a store as a whole, over all its shards: what is known of it, and forgetting; see `operations`."""

from __future__ import annotations

from itertools import batched
from typing import Any

import orjson

from ...protocol.state import FINAL_STATES, DeadLetter
from ...settings import MIN_DEDUP_S
from ..types import Active, Event, Events, Statistics, WorkerInfo
from . import queries
from .batches import MOST
from .calls import Call
from .operations import Operation, Operations, Shard

__all__ = ["active", "dead_letters", "events", "forget", "statistics", "workers"]

MOST_WORKERS = 1000
HOURS_AT_ONCE = 24
_HOUR_MS = 3_600_000
_EVER_MS = 1 << 52  # later than any finish
_COUNTS = (*sorted(state.value for state in FINAL_STATES), "RETRY", "CRASH", "RECLAIMED")
_TIME = "ms"


def active(operations: Operations, limit: int) -> Operation[list[Active]]:
    """See `Store.active`."""
    replies = yield [queries.active(shard.keys, min(limit, MOST)) for shard in operations.shards.values()]
    found = [
        Active(task_id.decode(), int(started), worker.decode(), body)
        for flat in replies
        for task_id, started, worker, body in batched(flat, 4)
    ]
    return sorted(found, key=lambda one: one.started_ms)[:limit]


def statistics(operations: Operations) -> Operation[Statistics]:
    """See `Store.statistics`."""
    fields = (*_COUNTS, _TIME)
    replies = yield [queries.statistics(shard.keys, fields) for shard in operations.shards.values()]
    unfinished, running, delayed = (sum(reply[place] for reply in replies) for place in range(3))
    counts = {field: sum(int(reply[3][place] or 0) for reply in replies) for place, field in enumerate(fields)}
    run_ms = counts.pop(_TIME)
    return Statistics(unfinished, running, delayed, {name: count for name, count in counts.items() if count}, run_ms)


def workers(operations: Operations) -> Operation[list[WorkerInfo]]:
    """See `Store.workers`: a worker serves every shard, so its latest beat counts."""
    replies = yield [queries.workers(shard.keys, MOST_WORKERS) for shard in operations.shards.values()]
    found: dict[str, WorkerInfo] = {}
    for flat in replies:
        for name, beat, info in batched(flat, 3):
            worker = WorkerInfo(name.decode(), int(beat), orjson.loads(info))
            known = found.get(worker.name)
            if known is None or worker.beat_ms >= known.beat_ms:
                found[worker.name] = worker
    return sorted(found.values(), key=lambda worker: worker.name)


def events(operations: Operations, after: str, limit: int) -> Operation[Events]:
    """See `Store.events`. A cursor holds one entry's id per shard."""
    cursors = dict(part.split("=", 1) for part in after.split(",")) if after else {}
    requests = [
        queries.events(shard.keys, cursors.get(tag, ""), min(limit, MOST)) for tag, shard in operations.shards.items()
    ]
    found: list[Event] = []
    for tag, entries in zip(operations.shards, (yield requests), strict=True):
        for entry, flat in entries:
            cursors[tag] = entry.decode()
            at_ms = _entry_key(cursors[tag])[0]
            words = [word.decode() for word in flat]
            found += (Event(at_ms, words[1], *pair) for pair in batched(words[2:], 2))
    return Events(
        sorted(found, key=lambda event: event.at_ms), ",".join(f"{tag}={entry}" for tag, entry in cursors.items())
    )


def forget(operations: Operations, before_ms: int) -> Operation[int]:
    """See `Store.forget`: hour by hour, the latest first, as far back as records may reach."""
    forgotten = 0
    for shard in operations.shards.values():
        now = shard.hour()
        first = now - operations.settings.index_keep_ms // _HOUR_MS - 2
        last = min(before_ms // _HOUR_MS, now + 1)
        for hours in batched(range(last, first - 1, -1), HOURS_AT_ONCE):
            pages = yield [queries.finished(shard.keys, hour, "", MOST) for hour in hours]
            for hour, page in zip(hours, pages, strict=True):
                forgotten += yield from _forget_hour(shard, hour, page, before_ms)
    return forgotten


def forget_result(operations: Operations, task_id: str) -> Operation[bool]:
    """See `Store.forget_result`. Its place in the index stays, until a clean-up finds that nothing is behind it."""
    shard = operations.shards[operations.tag_of(task_id)]
    [reply] = yield [_forget_call(shard, shard.hour(), [("0-1", [task_id])], _EVER_MS)]
    return bool(reply[1])


def _forget_hour(shard: Shard, hour: int, page: list[Any], before_ms: int) -> Operation[int]:
    forgotten = 0
    while page:
        some: list[tuple[str, list[str]]] = []
        size = 0
        for entry, flat in page:
            ids = [task_id.decode() for task_id in flat[::2]]
            if some and size + len(ids) > MOST:
                [reply] = yield [_forget_call(shard, hour, some, before_ms)]
                forgotten += reply[1]
                some, size = [], 0
            some.append((entry.decode(), ids))
            size += len(ids)
        [reply] = yield [_forget_call(shard, hour, some, before_ms)]
        forgotten += reply[1]
        last = page[-1][0].decode()
        if len(page) < MOST or _entry_key(last)[0] >= before_ms:
            break
        [page] = yield [queries.finished(shard.keys, hour, last, MOST)]
    return forgotten


def _forget_call(shard: Shard, hour: int, entries: list[tuple[str, list[str]]], before_ms: int) -> Call:
    return queries.forget(shard.keys, hour, entries, before_ms, round(MIN_DEDUP_S * 1000))


def dead_letters(operations: Operations, limit: int, before: str) -> Operation[list[DeadLetter]]:
    """See `Store.dead_letters`. A cursor is an entry's id: the time it was written, so it orders all shards."""
    requests = [
        queries.dead_letters(shard.keys, before or "+", min(limit, MOST)) for shard in operations.shards.values()
    ]
    wire = operations.settings.wire
    found = [_dead_letter(*entry)._replace(wire=wire) for reply in (yield requests) for entry in reply]
    return sorted(found, key=lambda letter: _entry_key(letter.cursor), reverse=True)[:limit]


def _entry_key(entry: str) -> tuple[int, ...]:
    return tuple(map(int, entry.split("-")))


def _dead_letter(entry: bytes, flat: list[bytes]) -> DeadLetter:
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    cursor = entry.decode()
    body = fields.get(b"message")
    return DeadLetter(
        cursor,
        fields.get(b"reason", b"").decode(),
        fields.get(b"id", b"").decode(),
        fields.get(b"stream", b"").decode(),
        _entry_key(cursor)[0],
        body.partition(b" ")[2] if body is not None else fields.get(b"data", b""),
    )
