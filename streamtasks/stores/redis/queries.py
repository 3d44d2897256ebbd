"""Calls of the scripts that look at a shard as a whole, and of the one that forgets; see `calls`."""

from __future__ import annotations

from collections.abc import Sequence

from ...protocol.keys import Keys
from .calls import Call, script

__all__ = ["active", "dead_letters", "events", "finished", "forget", "statistics", "workers"]


def dead_letters(keys: Keys, before: str, most: int) -> Call:
    """Build dead_letters."""
    return Call(script("dead_letters"), [keys.dead], [before, most])


def active(keys: Keys, most: int) -> Call:
    """Build active."""
    return Call(script("active"), [keys.running, keys.state, keys.messages], [most])


def statistics(keys: Keys, fields: Sequence[str]) -> Call:
    """Build statistics; ``fields``: those of the totals that are wanted."""
    return Call(script("statistics"), [keys.messages, keys.running, keys.delayed, keys.totals], list(fields))


def workers(keys: Keys, most: int) -> Call:
    """Build workers."""
    return Call(script("workers"), [keys.workers, keys.worker_info], [most])


def finished(keys: Keys, hour: int, after: str, most: int) -> Call:
    """Build finished: a page of the index of one hour."""
    return Call(script("finished"), [keys.finished(hour)], [after, most])


def forget(keys: Keys, hour: int, entries: Sequence[tuple[str, Sequence[str]]], before_ms: int, known_ms: int) -> Call:
    """Build forget: entries of the index of one hour, each with its ids."""
    return Call(
        script("forget"),
        [keys.finished(hour), *(keys.record(task_id) for _, ids in entries for task_id in ids)],
        [before_ms, known_ms, *(word for entry, ids in entries for word in (entry, len(ids)))],
    )


def events(keys: Keys, after: str, most: int) -> Call:
    """Build events."""
    return Call(script("events"), [keys.events], [after, most])
