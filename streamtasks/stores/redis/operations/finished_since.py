"""Read which tasks finished since a position, from the indexes of what finished."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import batched
from typing import Any, Final

from ....protocol.keys import RETENTIONS_H, retention_class
from ...types import FinishedPage
from ..shards import Operation, Shard, Shards
from .delete_finished import HOURS_AT_ONCE, IndexEntry, delete_records_call, finished_call, index_page

__all__ = ["finished_since"]

ENTRIES_AT_ONCE: Final = 10
"""Entries of one index in one reply; each has up to 100 ids."""

LOOK_BACK_H: Final = 25
"""How far a server's clock may have stepped back without anything being missed, hours, and a bit."""

_HOUR_MS: Final = 3_600_000


def finished_since(
    shards: Shards,
    tag: str,
    position: dict[str, Any] | None,
    most: int,
    *,
    everywhere: bool = True,
    goes_on: bool = False,
) -> Operation[FinishedPage]:
    """Return ids of tasks of one shard that finished after a position, and the position behind them.

    A position holds the last entry that was read of each index of the last hours: one index only grows, but what a
    server writes into several has no order among them.

    Args:
        shards: all shards.
        tag: of the one that is asked.
        position: that of the last page; None: of everything that is known.
        most: about how many ids at most; an entry more may come.
        everywhere: look into all indexes of the last day, not only into those to which these settings lead now.
            Only this leaves hours behind.
        goes_on: this is not the first page of such a look; it begins in the hour in which the last page ended.
    """
    shard, settings = shards.by_tag[tag], shards.settings
    [[now_ms, _]] = yield [delete_records_call(shard.keys, [])]
    now = now_ms // _HOUR_MS
    read: dict[str, str] = dict(position["read"]) if position else {}
    first = position["hour"] if position else now - settings.index_keep_ms // _HOUR_MS - 2
    classes: Sequence[int] = RETENTIONS_H
    if everywhere:
        first = first if goes_on else min(first, now - LOOK_BACK_H)
    else:
        classes = sorted({retention_class(settings.keep_ms(success=success)) for success in (True, False)})
    ids: list[str] = []
    for hours in batched(range(first, now + 2), HOURS_AT_ONCE):
        left = [(hour, retention) for hour in hours for retention in classes]
        while left:
            replies = yield [_call(shard, hour, retention, read) for hour, retention in left]
            more = []
            for (hour, retention), reply in zip(left, replies, strict=True):
                page = index_page(reply, (retention,))
                if page and len(ids) < most:
                    ids += (task_id for entry in page for task_id in entry.all_ids)
                    read[f"{hour}:{retention}"] = page[-1].entry
                    if len(page) == ENTRIES_AT_ONCE:
                        more.append((hour, retention))
                elif page:
                    more.append((hour, retention))
            left = more
            if len(ids) >= most:
                return FinishedPage(ids, {"hour": hours[0], "read": read}, now_ms, is_last=False)
    if not everywhere:
        return FinishedPage(ids, {"hour": first, "read": read}, now_ms, is_last=True)
    kept = {name: entry for name, entry in read.items() if int(name.partition(":")[0]) >= now - LOOK_BACK_H}
    return FinishedPage(ids, {"hour": now - 1, "read": kept}, now_ms, is_last=True)


def _call(shard: Shard, hour: int, retention: int, read: dict[str, str]) -> Any:
    entry = read.get(f"{hour}:{retention}")
    after = None if entry is None else IndexEntry(retention, entry, {})
    return finished_call(shard.keys, hour, (retention,), after, ENTRIES_AT_ONCE)
