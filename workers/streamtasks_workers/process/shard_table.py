"""What an app's keeper knows of its shards, in memory that its children read: where there is something to claim."""

from __future__ import annotations

import mmap
from time import monotonic_ns
from typing import Final

__all__ = ["NOTHING", "UNKNOWN", "ShardTable", "priority_code"]

NOTHING: Final = 0
"""The code of a shard on which nothing is ready."""

UNKNOWN: Final = 1
"""The code of a shard on which something is ready, of a priority that is not known: any that is known is better."""

_RUNG_AT, _LOOKED_AT, _BEST, _EMPTIED_AT, _WORDS = 0, 1, 2, 3, 4


def priority_code(priority: int | None) -> int:
    """Return a priority, -100 to 100, as a code above `UNKNOWN`: the better the higher; None: `NOTHING`."""
    return NOTHING if priority is None else priority + 102


class ShardTable:
    """The shards of one app, by their places in its list. Made before the forks; the keeper writes.

    Times are monotonic ns. The time of a look is when it was asked for: what happened since, it may not show. Children
    write only when a claim of theirs that has left nothing was sent: the last writer wins, and an older time only costs
    a claim in vain.
    """

    def __init__(self, shards: int) -> None:
        self.shards = shards
        self._words = memoryview(mmap.mmap(-1, 8 * _WORDS * shards)).cast("Q")

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

    def state(self, shard: int) -> tuple[int, int, int, int]:
        """Return when a shard became ready, when it was looked at, the best code then, and when it was emptied."""
        at = _WORDS * shard
        words = self._words
        return words[at], words[at + 1], words[at + 2], words[at + 3]

    def ready_code(self, shard: int) -> int:
        """Return what the keeper knows of a shard, whatever children have claimed since."""
        rung_at, looked_at, best, _ = self.state(shard)
        return best or (UNKNOWN if rung_at > looked_at else NOTHING)
