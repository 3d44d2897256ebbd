"""Where a child of an app with several shards claims next, and how it waits when there is nothing anywhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from streamtasks.protocol.jitter import RANDOM
from streamtasks.stores.types import Exchange

from ..process.doorbell import Doorbell
from ..process.shard_table import NOTHING, UNKNOWN, ShardTable, priority_code
from ..process.suspect_permit import SuspectPermit

__all__ = ["ShardChoice"]

STAY_NS: Final = 50_000_000
"""A child stays on a shard for so long while others have as good a priority, ns."""

AGAIN_NS: Final = 50_000_000
MOST_AGAIN_NS: Final = 2_000_000_000
"""A shard that shows something ready and gives this child nothing (a suspect waits there) is asked again after the
first of these, then after twice as long each time, up to the second."""

MOST_AWAY_NS: Final = 500_000_000
"""A shard that has not answered is asked again after `AGAIN_NS`, then after twice as long each time, up to this."""

ASK_FIRST: Final = 1000
"""The code of a shard on which this child may hold what it does not know of: better than any other."""

LEAST_PRIORITY: Final = -100

SLEEP_S: Final = 30.0
"""A child that waits looks for itself after so long, seconds: the keeper, which looks more often, may be away."""


class ShardChoice:
    """One child's choice. Knows of each shard what the keeper's table says and what its own last claim has left there.

    Args:
        tags: the shards.
        table: what the keeper knows of them.
        doorbell: by which the keeper wakes this child.
        permit: to run a suspect.
        first: the place of the shard to begin with.
        order: of places, in which it goes from one shard to others that are as good; None: one of its own. Children
            with one order would go from shard to shard together, and leave all masters but one idle.
    """

    def __init__(
        self,
        tags: Sequence[str],
        table: ShardTable,
        doorbell: Doorbell,
        permit: SuspectPermit,
        first: int,
        order: Sequence[int] | None = None,
    ) -> None:
        self._tags = tags
        order = order or RANDOM.sample(range(len(tags)), len(tags))
        self._after = dict(zip(order, [*order[1:], order[0]], strict=True))
        self._table = table
        self._doorbell = doorbell
        self._permit = permit
        self._current = first % len(tags)
        self._since_ns = 0
        self._asked_ns = [0] * len(tags)  # when the last claim was sent there
        self._left = [NOTHING] * len(tags)  # the code of what it left
        self._shunned_until_ns = [0] * len(tags)
        self._shunned_ns = [0] * len(tags)
        self._away_until_ns = [0] * len(tags)
        self._away_ns = [0] * len(tags)
        self._is_unsure = [False] * len(tags)
        self._sent_ns = 0
        self._floor = NOTHING  # the code of the best of the other shards
        self._stays = False  # the next claim must go to the same shard
        self._sleeps_until = 0.0

    def next_tag(self) -> str:
        """Choose the shard of a claim that is sent now."""
        now = self._sent_ns = time.monotonic_ns()
        if self._stays:
            self._floor = NOTHING
        elif (best := self._best(now)) != self._current:
            self._current, self._since_ns = best, now
        return self._tags[self._current]

    def knows_of_nothing(self) -> bool:
        """Whether nothing is known to be ready on any shard: a wake tells when there is something."""
        now = time.monotonic_ns()
        return not any(self._code(shard, now) for shard in range(len(self._tags)))

    @property
    def least(self) -> int:
        """The least priority to claim there: what is below it is worse than what another shard has."""
        return max(LEAST_PRIORITY, self._floor - priority_code(0))

    def _best(self, now: int) -> int:
        """Return the place of the best shard; one that is as good as others is left after `STAY_NS`."""
        current = place = self._current
        best, code_there, floor = current, self._code(current, now), NOTHING
        wanted = code_there + 1
        if now - self._since_ns > STAY_NS:
            self._since_ns = now
            wanted -= 1
        while (place := self._after[place]) != current:
            code = self._code(place, now)
            if code > NOTHING and code >= wanted:
                floor = max(floor, code_there if code_there < ASK_FIRST else NOTHING)
                best, code_there, wanted = place, code, code + 1
            elif floor < code < ASK_FIRST:
                floor = code
        self._floor = floor
        return best

    def _code(self, shard: int, now: int) -> int:
        """Return what is known to be ready on a shard."""
        if now < self._away_until_ns[shard]:
            return NOTHING
        if self._is_unsure[shard]:
            return ASK_FIRST
        rung_at, looked_at, code, emptied_at = self._table.state(shard)
        asked_at = self._asked_ns[shard]
        if looked_at <= asked_at:
            code, looked_at = self._left[shard], asked_at
        if looked_at < emptied_at:  # by another child: it was woken for what this one sees, too
            code, looked_at = NOTHING, emptied_at
        if rung_at > looked_at:
            return max(code, UNKNOWN)
        return NOTHING if now < self._shunned_until_ns[shard] else code

    def missed(self, *, unsure: bool) -> str:
        """Note that the shard of the last claim has not answered; return it.

        ``unsure``: the claim may have taken effect.
        """
        shard = self._current
        self._stays = False
        self._is_unsure[shard] = self._is_unsure[shard] or unsure
        self._away_ns[shard] = wait_ns = min(2 * self._away_ns[shard] or AGAIN_NS, MOST_AWAY_NS)
        self._away_until_ns[shard] = time.monotonic_ns() + wait_ns
        if not unsure:
            self._permit.give_back()
        return self._tags[shard]

    def took(self, exchange: Exchange) -> str:
        """Take in the answer to the last claim; return its shard."""
        shard = self._current
        self._away_ns[shard] = 0
        if exchange.left is None and not self._is_unsure[shard]:  # the answer to a repeated claim may be an old one
            self._table.set_emptied(shard, self._sent_ns)
        self._is_unsure[shard] = False
        self._asked_ns[shard] = self._sent_ns
        self._left[shard] = priority_code(exchange.left)
        self._stays = exchange.suspects or exchange.again
        if exchange.claimed or exchange.left is None or exchange.left < self.least or self._stays:
            self._shunned_ns[shard] = 0
        else:
            self._shunned_ns[shard] = wait_ns = min(2 * self._shunned_ns[shard] or AGAIN_NS, MOST_AGAIN_NS)
            self._shunned_until_ns[shard] = time.monotonic_ns() + wait_ns
        if not (exchange.run_alone and exchange.claimed):
            self._permit.give_back()  # what it was taken for is settled, or was not there
        return self._tags[shard]

    def may_take_suspect(self, *, alone: bool) -> bool:
        """Return whether the next claim may concern a suspect; take the worker's permit if it may get one.

        ``alone``: it may, and its answer is read soon. Else a suspect may be reserved, for which the hands are emptied.
        """
        had = self._permit.is_held
        got = self._permit.take()
        if got and not (alone or had):
            self._permit.give_back()
        return got

    # -- waiting -------------------------------------------------------------------------------------

    def start_wait(self) -> int:
        """Wait to be woken; return a descriptor that becomes readable then, or at once if there is something."""
        if not self._doorbell.is_waited_for:
            self._sleeps_until = time.monotonic() + SLEEP_S
            self._doorbell.wait()
        if not self.knows_of_nothing():
            self._doorbell.ring()
        return self._doorbell.fd

    def wait_left_s(self) -> float:
        """Return how long to wait at most, seconds."""
        now = time.monotonic()
        left_s = self._sleeps_until - now
        if any(self._away_ns):
            asked_at = (until for until, away in zip(self._away_until_ns, self._away_ns, strict=True) if away)
            left_s = min(left_s, min(asked_at) / 1e9 - now)
        return max(0.0, left_s)

    def finish_wait(self) -> None:
        """Wait no longer."""
        if time.monotonic() >= self._sleeps_until:
            self._current = self._after[self._current]  # nobody rang: look at one after the other
        self._doorbell.reset()
