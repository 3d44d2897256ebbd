"""Tell other processes what has happened: NOTIFY on PostgreSQL; other databases have no such thing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

__all__ = ["CONTROL", "ENDS", "WAKE", "channel_name", "notify", "payloads"]

WAKE: Final = "wake"
CONTROL: Final = "control"
ENDS: Final = "ends"
"""Channels: something is ready; words for keepers; ids of tasks that have changed or finished."""

_MOST: Final = 7000
"""Bytes of a payload at most; PostgreSQL allows 8000."""


def channel_name(table: str, channel: str) -> str:
    """Return the name of a channel in the database."""
    return f"{table[:50]}_{channel}"


def payloads(table: str, pushes: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return (channel, payload) for pushes of a shard; ids travel together."""
    found: dict[tuple[str, str], None] = {}
    ids: dict[str, None] = {}
    for channel, text in pushes:
        if channel == WAKE:
            found[channel_name(table, WAKE), ""] = None
        elif channel == CONTROL:
            found[channel_name(table, CONTROL), text] = None
        else:
            ids[text] = None
    part = ""
    for one in ids:
        if len(part) + len(one) > _MOST:
            found[channel_name(table, ENDS), part] = None
            part = ""
        part += f"{one}\n"
    if part:
        found[channel_name(table, ENDS), part] = None
    return list(found)


def notify(connection: Any, table: str, pushes: Iterable[tuple[str, str]]) -> None:
    """Send pushes when the present transaction is committed."""
    if connection.vendor != "postgresql":
        return
    found = payloads(table, pushes)
    if found:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT " + ", ".join(["pg_notify(%s, %s)"] * len(found)), [word for one in found for word in one]
            )
