"""Keep no more dead letters than the settings allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from streamtasks.protocol.state import DeadLetter
from streamtasks.settings import StoreSettings
from streamtasks.stores.letter_cursor import entry_of

from .codec import decode

__all__ = ["at", "cap", "discard", "name_of", "size_of", "take"]

AT_ONCE: Final = 100
"""Most dead letters that are read at once to be deleted."""


def size_of(letter: DeadLetter) -> int:
    """Return how many bytes a dead letter counts."""
    return len(letter.reason) + len(letter.id) + len(letter.stream) + len(letter.envelope)


def name_of(cursor: str, task_id: str) -> str:
    """Return the name of a dead letter's row, in whose order letters were made."""
    return f"dead:{cursor.rpartition('-')[2]:>020}-{task_id}"[:690]


def take(shard: Any, letters: Sequence[tuple[str, str]]) -> list[DeadLetter | None]:
    """Delete dead letters of a `SqlShard`, each named by its cursor and the id of its message, and return them.

    None: it was not there.
    """
    rows = shard.names.state.objects.using(shard.using)
    names = [name_of(entry_of(cursor), task_id) for cursor, task_id in letters]
    data = dict(rows.filter(kind="dead", name__in=names).values_list("name", "data"))
    found: list[DeadLetter | None] = []
    for name in names:
        letter = decode(bytes(data.pop(name))) if name in data else None
        if letter is not None:
            _forget(shard, letter)
        found.append(letter)
    rows.filter(name__in=names).delete()
    return found


def discard(shard: Any, letters: Sequence[DeadLetter]) -> int:
    """Delete dead letters of a `SqlShard`; return how many were there."""
    found = take(shard, [(letter.cursor, letter.id) for letter in letters])
    return sum(letter is not None for letter in found)


def at(shard: Any, cursors: Sequence[str]) -> list[DeadLetter]:
    """Return those of these dead letters of a `SqlShard` that are there, in the order of their cursors."""
    numbers = [int(cursor.rpartition("-")[2]) for cursor in cursors]
    rows = shard.names.state.objects.using(shard.using).filter(kind="dead", number__in=numbers)
    found = {letter.cursor: letter for data in rows.values_list("data", flat=True) if (letter := decode(bytes(data)))}
    return [found[cursor] for cursor in cursors if cursor in found]


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
