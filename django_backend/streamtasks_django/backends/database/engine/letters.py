"""Keep no more dead letters than the settings allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from streamtasks.protocol.state import DeadLetter
from streamtasks.settings import StoreSettings

from .codec import decode

__all__ = ["cap", "discard", "name_of", "size_of"]

AT_ONCE: Final = 100
"""Most dead letters that are read at once to be deleted."""


def size_of(letter: DeadLetter) -> int:
    """Return how many bytes a dead letter counts."""
    return len(letter.reason) + len(letter.id) + len(letter.stream) + len(letter.envelope)


def name_of(cursor: str, task_id: str) -> str:
    """Return the name of a dead letter's row, in whose order letters were made."""
    return f"dead:{cursor.rpartition('-')[2]:>020}-{task_id}"[:690]


def discard(shard: Any, letters: Sequence[DeadLetter]) -> int:
    """Delete dead letters of a `SqlShard`; return how many were there."""
    rows = shard.names.state.objects.using(shard.using)
    names = [name_of(letter.cursor, letter.id) for letter in letters]
    found = list(rows.filter(kind="dead", name__in=names).values_list("name", "data"))
    for _, data in found:
        _forget(shard, decode(bytes(data)))
    rows.filter(name__in=[name for name, _ in found]).delete()
    return len(found)


def cap(shard: Any, new: list[tuple[str, DeadLetter]]) -> None:
    """Delete the oldest dead letters of a `SqlShard` until the settings allow what is left; the newest stays.

    Args:
        shard: it counts them; what is deleted is told to keepers.
        new: those that this step adds, which are not written yet.
    """
    rows = shard.names.state.objects.using(shard.using)
    deleted = 0
    while _are_too_many(shard):
        names = []
        for name, data in list(rows.filter(kind="dead").order_by("number").values_list("name", "data")[:AT_ONCE]):
            if not _are_too_many(shard):
                break
            _forget(shard, decode(bytes(data)))
            names.append(name)
        if not names:
            break
        rows.filter(name__in=names).delete()
        deleted += len(names)
    while len(new) > 1 and _are_too_many(shard):
        _forget(shard, new.pop(0)[1])
        deleted += 1
    if deleted:
        shard.push("control", f"dead {deleted}")


def _are_too_many(shard: Any) -> bool:
    settings: StoreSettings = shard.settings
    too_many = shard.dead_count > settings.max_dead_letters or shard.dead_bytes > settings.max_dead_letter_bytes
    return bool(too_many and shard.dead_count > 1)


def _forget(shard: Any, letter: DeadLetter) -> None:
    shard.dead_bytes -= size_of(letter)
    shard.dead_count -= 1
