"""What one child knows to be ready on each shard of its app, kept in step with the keeper's table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..process.shard_table import NOTHING, UNKNOWN, ShardState, ShardTable, changed_states, state_in

__all__ = ["AGAIN_NS", "ASK_FIRST", "MOST_AGAIN_NS", "MOST_AWAY_NS", "ShardCodes"]

AGAIN_NS: Final = 50_000_000
MOST_AGAIN_NS: Final = 2_000_000_000
"""A shard that shows something ready and gives this child nothing (a suspect waits there) is asked again after the
first of these, then after twice as long each time, up to the second."""

MOST_AWAY_NS: Final = 500_000_000
"""A shard that has not answered is asked again after `AGAIN_NS`, then after twice as long each time, up to this."""

ASK_FIRST: Final = 1000
"""The code of a shard on which this child may hold what it does not know of: better than any other."""

_NEVER: Final = 1 << 63


class ShardCodes:
    """Codes of shards, as in the keeper's table, but for what this child knows better by its own last claims.

    A child asks for all of them at each claim. So they are kept, and only those are made anew of which the table has
    changed, or which this child has claimed from. All times are monotonic ns.
    """

    def __init__(self, table: ShardTable) -> None:
        shards = table.shards
        self._table = table
        self._image = b""  # of the table, that these codes are made from
        self._codes: dict[int, int] = {}
        self._asked_ns = [0] * shards  # when the last claim was sent there
        self._left = [NOTHING] * shards  # the code of what it left
        self._shunned_until_ns = [0] * shards
        self._shunned_ns = [0] * shards
        self._away_until_ns = [0] * shards
        self._away_ns = [0] * shards
        self._is_unsure = [False] * shards
        self._good_until_ns = _NEVER  # then the first of those times ends, and codes are others

    def at(self, now: int) -> dict[int, int]:
        """Return the codes of all shards on which something is ready. The dict is the caller's until the next call."""
        image = self._table.image()
        if now >= self._good_until_ns:
            ends = [until for until in (*self._shunned_until_ns, *self._away_until_ns) if until > now]
            self._good_until_ns = min(ends, default=_NEVER)
            self._image = b""
        if image != self._image:
            self._make(changed_states(image, self._image), now)
            self._image = image
        return self._codes

    def _make(self, states: Iterable[tuple[int, ShardState]], now: int) -> None:
        """Make the codes of some shards anew, by what the table says of them."""
        codes, asked, left, is_unsure = self._codes, self._asked_ns, self._left, self._is_unsure
        away_until, shunned_until = self._away_until_ns, self._shunned_until_ns
        for shard, state in states:
            rung_at, looked_at, code, emptied_at = state
            if looked_at <= (asked_at := asked[shard]):
                code, looked_at = left[shard], asked_at
            if looked_at < emptied_at:  # by another child: it was woken for what this one sees, too
                code, looked_at = NOTHING, emptied_at
            if rung_at > looked_at:
                code = code or UNKNOWN
            elif now < shunned_until[shard]:
                code = NOTHING
            if is_unsure[shard]:
                code = ASK_FIRST
            if now < away_until[shard]:
                code = NOTHING
            if code:
                codes[shard] = code
            elif shard in codes:
                del codes[shard]

    def missed(self, shard: int, now: int, *, unsure: bool) -> None:
        """Note that a shard has not answered now. ``unsure``: the claim may have taken effect."""
        self._is_unsure[shard] = self._is_unsure[shard] or unsure
        self._away_ns[shard] = wait_ns = min(2 * self._away_ns[shard] or AGAIN_NS, MOST_AWAY_NS)
        self._away_until_ns[shard] = now + wait_ns
        self._changed(shard, now, now + wait_ns)

    def answered(self, shard: int, sent_ns: int, left: int, now: int, *, shun: bool) -> None:
        """Note the answer to a claim.

        Args:
            shard: that was asked.
            sent_ns: when.
            left: the code of what it has left there.
            now: the time.
            shun: something is ready there, but not for this child.
        """
        self._away_ns[shard] = 0
        if left == NOTHING and not self._is_unsure[shard]:  # the answer to a repeated claim may be an old one
            self._table.set_emptied(shard, sent_ns)
        self._is_unsure[shard] = False
        self._asked_ns[shard] = sent_ns
        self._left[shard] = left
        until = _NEVER
        if shun:
            self._shunned_ns[shard] = wait_ns = min(2 * self._shunned_ns[shard] or AGAIN_NS, MOST_AGAIN_NS)
            self._shunned_until_ns[shard] = until = now + wait_ns
        else:
            self._shunned_ns[shard] = 0
        self._changed(shard, now, until)

    def _changed(self, shard: int, now: int, until: int) -> None:
        """Make the code of a shard anew, and others at a time at the latest."""
        self._good_until_ns = min(self._good_until_ns, until)
        if self._image:
            self._make([(shard, state_in(self._image, shard))], now)

    def next_try_ns(self) -> int | None:
        """Return when a shard that has not answered is to be asked again; None: all have answered."""
        tries = [until for until, away in zip(self._away_until_ns, self._away_ns, strict=True) if away]
        return min(tries, default=None)
