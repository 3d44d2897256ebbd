"""Read which tasks finished, newest first, from the indexes of what finished."""

from __future__ import annotations

from collections.abc import Collection
from itertools import batched
from typing import Final

from ....protocol.keys import RETENTIONS_H, Keys
from ...steering_types import IdPage, before_of
from ..scripts import Call, script
from ..shards import Operation, Shards

__all__ = ["finished_before_call", "finished_ids"]

MOST_SEEN: Final = 1000
"""A page ends after so many entries of indexes, however few of their ids are wanted; each has up to 100."""

MOST_PACKETS: Final = 100
"""A page ends after so many round trips, too: an index may reach back for 512 days."""

MOST_HOURS: Final = 3
"""So many hours are read at once where no more are asked for."""

MOST_CALLS: Final = 256
"""So many indexes are asked for in one round trip: all retention classes of an hour and a shard are one call."""

_HOUR_MS: Final = 3_600_000
_FIRST_ENTRIES: Final = 4
_MOST_ENTRIES: Final = 100


def finished_before_call(keys: Keys, hour: int, before_ms: int, most: int) -> Call:
    """Build finished_before: all indexes of one hour."""
    indexes = [keys.finished(hour, retention_h) for retention_h in RETENTIONS_H]
    return script("finished_before").call(keys, before_ms=before_ms, most=most, more_keys=indexes)


def finished_ids(
    shards: Shards, outcomes: Collection[str], cursor: str = "", limit: int = 100, since_ms: int = 0
) -> Operation[IdPage]:
    """See `Store.finished_ids`. A cursor is a time: entries are taken by whole ms, so none falls between two pages."""
    now = max(shard.hour() for shard in shards.by_tag.values()) + 1  # of a server whose clock is ahead of what is known
    oldest = max(now - shards.settings.index_keep_ms // _HOUR_MS - 3, since_ms // _HOUR_MS)
    before_ms = before_of(cursor) or (now + 1) * _HOUR_MS
    hours, most, seen = 1, _FIRST_ENTRIES, 0
    most_hours = max(1, MOST_CALLS // len(shards.tags))
    ids: list[str] = []
    for _ in range(MOST_PACKETS):
        newest = (before_ms - 1) // _HOUR_MS
        if newest < oldest or before_ms <= since_ms:
            return IdPage(ids, "")
        is_short = (
            newest - oldest < MOST_HOURS
        )  # to read all of them costs no more than to look where there is something
        hours = newest - oldest + 1 if is_short else hours
        some = range(newest, max(oldest, newest - hours + 1) - 1, -1)
        hours_and_keys = [(hour, shard.keys) for hour in some for shard in shards.by_tag.values()]
        if hours > 1 and not is_short:  # look in which hour there is something
            replies = yield [finished_before_call(keys, hour, before_ms, 1) for hour, keys in hours_and_keys]
            found = [hour for (hour, _), reply in zip(hours_and_keys, replies, strict=True) if any(reply)]
            before_ms = min(before_ms, (max(found, default=some[-1] - 1) + 1) * _HOUR_MS)
            hours = 1 if found else min(2 * hours, most_hours)
            continue
        calls = [finished_before_call(keys, hour, before_ms, most) for hour, keys in hours_and_keys]
        entries: list[tuple[int, list[bytes]]] = []
        bound_ms = some[-1] * _HOUR_MS - 1  # what is later than this is known whole
        for index in [index for reply in (yield calls) for index in reply]:
            times = [int(entry.partition(b"-")[0]) for entry, _ in index]
            entries += zip(times, [flat for _, flat in index], strict=True)
            if len(times) == most:
                bound_ms = max(bound_ms, times[-1])
        whole = sorted((one for one in entries if one[0] > bound_ms), key=lambda one: -one[0])
        if entries and not whole and most < _MOST_ENTRIES:
            most = min(4 * most, _MOST_ENTRIES)  # so many in one ms
            continue
        for at_ms, flat in whole or entries:
            if len(ids) >= limit and at_ms < before_ms:
                return IdPage(ids, str(before_ms))
            if at_ms < since_ms:
                return IdPage(ids, "")
            before_ms = at_ms
            ids += (
                task_id
                for text, some_ids in batched(flat, 2)
                if text.decode().partition(" ")[0] in outcomes
                for task_id in some_ids.decode().split(" ")
            )
        before_ms = bound_ms + (1 if whole or not entries else 0)
        hours = 1 if entries else min(2, most_hours)
        most = max(_FIRST_ENTRIES, min(4 * most, _MOST_ENTRIES // len(shards.tags)))  # few of them are wanted
        seen += len(entries)
        if len(ids) >= limit or seen >= MOST_SEEN:
            break
    return IdPage(ids, str(before_ms))
