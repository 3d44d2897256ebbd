"""Cursors of dead letters, which order those of all shards of a store."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ..exceptions import InvalidTask

__all__ = ["before_on", "cursor_behind", "cursor_of", "entry_of", "order_of", "tag_in"]

_MOST_NUMBER: Final = 2**63 - 1
_CURSOR: Final = re.compile(r"(\d{1,20})-(\d{1,20})(?:@(.+))?")


def cursor_of(entry: str, tag: str, tags: Sequence[str]) -> str:
    """Return the cursor of an entry.

    Entries of two shards may have the same id. So where there are several, a cursor says which one it is of:
    ``<entry>@<tag>``.
    """
    return entry if len(tags) == 1 else f"{entry}@{tag}"


def entry_of(cursor: str) -> str:
    """Return the id of the entry of a cursor."""
    return cursor.partition("@")[0]


def order_of(cursor: str, tags: Sequence[str]) -> tuple[int, int, int]:
    """Return the sort key of a cursor: by time, and what came at the same time by shard.

    Raises:
        InvalidTask: it is no cursor of a dead letter of these shards.
    """
    found = _CURSOR.fullmatch(cursor)
    if found is None or (found[3] and found[3] not in tags):
        raise InvalidTask(f"cursor is {cursor!r}, which is none of this store's dead letters; begin without one.")
    return int(found[1]), int(found[2]), tags.index(found[3]) if found[3] else 0


def tag_in(cursor: str, tags: Sequence[str]) -> str:
    """Return the tag of the shard of a cursor; empty: it does not say.

    Raises:
        InvalidTask: see `order_of`.
    """
    order_of(cursor, tags)
    return cursor.partition("@")[2]


def cursor_behind(cursor: str, tags: Sequence[str]) -> str:
    """Return the cursor such that what stands behind it begins with an entry, or those of other shards at its time.

    Raises:
        InvalidTask: see `order_of`.
    """
    at_ms, number, _ = order_of(cursor, tags)
    if max(at_ms, number) >= _MOST_NUMBER:  # no server has such an entry
        raise InvalidTask(f"cursor is {cursor!r}, which is none of this store's dead letters; begin without one.")
    return cursor_of(f"{at_ms}-{number + 1}", tags[0], tags)


def before_on(tag: str, cursor: str, tags: Sequence[str]) -> str:
    """Return the entry id such that what is older on a shard stands behind a cursor.

    Raises:
        InvalidTask: see `order_of`.
    """
    at_ms, number, place = order_of(cursor, tags)
    return f"{at_ms}-{number + (tags.index(tag) < place)}"
