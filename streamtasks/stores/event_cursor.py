"""Cursors of events: how far each shard has been read, ``<tag>=<position>``, with commas between."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ..exceptions import InvalidTask

__all__ = ["cursor_of", "positions_in"]

_PART: Final = re.compile(r"([^=,]+)=(\d+(?:-\d+)?)")


def positions_in(cursor: str) -> dict[str, str]:
    """Return the position on each shard; empty: from the oldest event that is kept.

    Raises:
        InvalidTask: it is no cursor of events.
    """
    if not cursor:
        return {}
    parts = [_PART.fullmatch(part) for part in cursor.split(",")]
    found = {part[1]: part[2] for part in parts if part is not None}
    if len(found) < len(parts):
        raise InvalidTask(f"cursor is {cursor!r}, which is none of events; begin without one.")
    return found


def cursor_of(positions: Mapping[str, str | int]) -> str:
    """Return the cursor of a position on each shard."""
    return ",".join(f"{tag}={position}" for tag, position in positions.items())
