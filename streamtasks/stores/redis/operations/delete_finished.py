"""Delete finished tasks, found in the indexes of what finished."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import batched, groupby
from typing import Any, Final, NamedTuple

from ....protocol.keys import RETENTIONS_H, Keys
from ....settings import MIN_DEDUP_S
from ..batches import MOST
from ..scripts import Call, script
from ..shards import Operation, Shard, Shards

__all__ = [
    "IndexEntry",
    "delete_finished",
    "delete_finished_call",
    "delete_records_call",
    "delete_result",
    "finished_call",
    "index_page",
]

HOURS_AT_ONCE: Final = 24
_HOUR_MS: Final = 3_600_000
_EVER_MS: Final = 1 << 52  # later than any finish
_KNOWN_MS: Final = round(MIN_DEDUP_S * 1000)
_NO_ENTRY: Final = "0-1"


class IndexEntry(NamedTuple):
    """An entry of an index: the messages of one retention class that one call finished.

    ``ids``: by outcome and stream name.
    """

    retention_h: int
    entry: str
    ids: dict[str, list[str]]

    @property
    def at_ms(self) -> int:
        """When it finished, ms since the epoch."""
        return int(self.entry.partition("-")[0])

    @property
    def all_ids(self) -> list[str]:
        """All of the ids."""
        return [task_id for some in self.ids.values() for task_id in some]


def finished_call(
    keys: Keys, hour: int, retentions: Sequence[int], after: IndexEntry | None = None, most: int = MOST
) -> Call:
    """Build finished: a page of the indexes of one hour, of these retention classes (hours), after an entry."""
    return script("finished").call(
        keys,
        after="" if after is None else after.entry,
        after_index=0 if after is None else sum(retention <= after.retention_h for retention in retentions),
        most=most,
        more_keys=[keys.finished(hour, retention) for retention in retentions],
    )


def index_page(reply: list[Any], retentions: Sequence[int]) -> list[IndexEntry]:
    """Read the reply to finished; ``retentions``: as in the call."""
    page = []
    for number, entry, flat in reply:
        ids_by_outcome: dict[str, list[str]] = {}
        for text, ids in batched(flat, 2):  # a text stands there twice if its messages did not end all alike
            ids_by_outcome.setdefault(text.decode(), []).extend(ids.decode().split(" "))
        page.append(IndexEntry(retentions[number - 1], entry.decode(), ids_by_outcome))
    return page


def delete_finished_call(
    keys: Keys,
    hour: int,
    retention_h: int,
    entries: Sequence[tuple[str, Sequence[str]]],
    before_ms: int,
    known_ms: int = _KNOWN_MS,
) -> Call:
    """Build delete_finished: entries of one index, each with its ids."""
    all_ids = [task_id for _, ids in entries for task_id in ids]
    return script("delete_finished").call(
        keys,
        finished=keys.finished(hour, retention_h),
        before_ms=before_ms,
        known_ms=known_ms,
        more_keys=[*map(keys.record, all_ids), *map(keys.log, all_ids)],
        more_args=[word for entry, ids in entries for word in (entry, len(ids))],
    )


def delete_records_call(keys: Keys, ids: Sequence[str]) -> Call:
    """Build delete_finished of these ids, whenever they finished; their places in the index stay."""
    return delete_finished_call(keys, 0, RETENTIONS_H[0], [(_NO_ENTRY, ids)] if ids else [], _EVER_MS)


def delete_finished(shards: Shards, before_ms: int) -> Operation[int]:
    """See `Store.delete_finished`: hour by hour, the latest first, as far back as records may reach."""
    deleted: int = 0
    for shard in shards.by_tag.values():
        now = shard.hour()
        first = now - shards.settings.index_keep_ms // _HOUR_MS - 2
        last = min(before_ms // _HOUR_MS, now + 1)
        for hours in batched(range(last, first - 1, -1), HOURS_AT_ONCE):
            classes = [_retentions_of(now - hour) for hour in hours]
            replies = yield [finished_call(shard.keys, *one) for one in zip(hours, classes, strict=True)]
            for hour, retentions, reply in zip(hours, classes, replies, strict=True):
                deleted += yield from _delete_hour(shard, hour, retentions, reply, before_ms)
    return deleted


def delete_result(shards: Shards, task_id: str) -> Operation[bool]:
    """See `Store.delete_result`. Its place in the index stays, until a clean-up finds that nothing is behind it."""
    [reply] = yield [delete_records_call(shards.of(task_id).keys, [task_id])]
    return bool(reply[1])


def _retentions_of(age_h: int) -> tuple[int, ...]:
    """Return the classes of which records may live that finished so many hours ago."""
    return tuple(one for one in RETENTIONS_H if one >= age_h - 2) or RETENTIONS_H[-1:]


def _delete_hour(
    shard: Shard, hour: int, retentions: Sequence[int], reply: list[Any], before_ms: int
) -> Operation[int]:
    deleted: int = 0
    while page := index_page(reply, retentions):
        for retention_h, entries in groupby(sorted(page), lambda one: one.retention_h):
            for some in _calls_of([(one.entry, one.all_ids) for one in entries]):
                [answer] = yield [delete_finished_call(shard.keys, hour, retention_h, some, before_ms)]
                deleted += answer[1]
        if len(page) < MOST or page[-1].at_ms >= before_ms:
            break
        [reply] = yield [finished_call(shard.keys, hour, retentions, page[-1])]
    return deleted


def _calls_of(entries: list[tuple[str, list[str]]]) -> list[list[tuple[str, list[str]]]]:
    """Cut entries of an index into calls of at most 100 ids, or one entry."""
    calls: list[list[tuple[str, list[str]]]] = []
    size = MOST
    for entry in entries:
        if size + len(entry[1]) > MOST:
            calls.append([])
            size = 0
        calls[-1].append(entry)
        size += len(entry[1])
    return calls
