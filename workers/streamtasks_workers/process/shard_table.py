"""What an app's keeper knows of its shards, in memory that its children read: where there is something to claim."""

from __future__ import annotations

import mmap
from struct import Struct
from time import monotonic_ns
from typing import Final

__all__ = [
    "MOST_SHARDS",
    "NOTHING",
    "UNKNOWN",
    "ShardState",
    "ShardTable",
    "changed_states",
    "priority_code",
    "state_in",
]

NOTHING: Final = 0
"""The code of a shard on which nothing is ready."""

UNKNOWN: Final = 1
"""The code of a shard on which something is ready, of a priority that is not known: any that is known is better."""

_RUNG_AT, _LOOKED_AT, _BEST, _EMPTIED_AT, _WORDS = 0, 1, 2, 3, 4

MOST_SHARDS: Final = 4000
"""There is room for so many, as in the list on the server: memory that nobody touches costs nothing."""

_STATE: Final = Struct(f"{_WORDS}Q")
_PART: Final = 8 * _STATE.size
"""Images are compared in parts of so many bytes."""

ShardState = tuple[int, int, int, int]
"""Of a shard: when it became ready, when it was looked at, the best code then, when it was emptied."""


def priority_code(priority: int | None) -> int:
    """Return a priority, -100 to 100, as a code above `UNKNOWN`: the better the higher; None: `NOTHING`."""
    return NOTHING if priority is None else priority + 102


def state_in(image: bytes, shard: int) -> ShardState:
    """Return the state of a shard from an image of the table."""
    return _STATE.unpack_from(image, _STATE.size * shard)


def changed_states(image: bytes, before: bytes) -> list[tuple[int, ShardState]]:
    """Return places and states of all shards of which two images of one table differ, and of some others."""
    found: list[tuple[int, ShardState]] = []
    for at in range(0, len(image), _PART):
        part = image[at : at + _PART]
        if part != before[at : at + _PART]:
            found += enumerate(_STATE.iter_unpack(part), at // _STATE.size)
    return found


class ShardTable:
    """The shards of one app, by their places in its list. Made before the forks; the keeper writes.

    Times are monotonic ns. The time of a look is when it was asked for: what happened since, it may not show. Children
    write only when a claim of theirs that has left nothing was sent: the last writer wins, and an older time only costs
    a claim in vain.

    Args:
        shards: how many there are.
        smaller: the table of fewer of these shards. Both are one memory, so that children that know only those go on.
    """

    def __init__(self, shards: int, smaller: ShardTable | None = None) -> None:
        self.shards = shards
        self._memory: mmap.mmap = mmap.mmap(-1, _STATE.size * MOST_SHARDS) if smaller is None else smaller._memory
        self._words = memoryview(self._memory).cast("Q")
        self._size = _STATE.size * shards

    def set_rung(self, shard: int) -> None:
        """Note that something has become ready on a shard now."""
        self._words[_WORDS * shard + _RUNG_AT] = monotonic_ns()

    def set_best(self, shard: int, code: int, asked_ns: int) -> None:
        """Note what a look has found on a shard, and when it was asked for."""
        self._words[_WORDS * shard + _BEST] = code
        self._words[_WORDS * shard + _LOOKED_AT] = asked_ns

    def set_emptied(self, shard: int, sent_ns: int) -> None:
        """Note, as a child, when a claim was sent that has left nothing on a shard."""
        self._words[_WORDS * shard + _EMPTIED_AT] = sent_ns

    def image(self) -> bytes:
        """Return all that stands in it now; to compare it with an earlier one is quicker than to read it."""
        return self._memory[: self._size]

    def state(self, shard: int) -> ShardState:
        """Return the state of a shard."""
        at = _WORDS * shard
        words = self._words
        return words[at], words[at + 1], words[at + 2], words[at + 3]

    def ready_code(self, shard: int) -> int:
        """Return what the keeper knows of a shard, whatever children have claimed since."""
        rung_at, looked_at, best, _ = self.state(shard)
        return best or (UNKNOWN if rung_at > looked_at else NOTHING)
