"""Where a child of an app with several shards claims next, and how it waits when there is nothing anywhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from streamtasks.protocol.jitter import RANDOM
from streamtasks.stores.types import Exchange

from ..process.doorbell import Doorbell
from ..process.shard_table import NOTHING, ShardTable, priority_code
from ..process.suspect_permit import SuspectPermit
from .shard_codes import ASK_FIRST, ShardCodes

__all__ = ["ShardChoice"]

STAY_NS: Final = 50_000_000
"""A child stays on a shard for so long while others have as good a priority, ns."""

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
        self._order = order
        self._turn = {place: turn for turn, place in enumerate(order)}  # in that order
        self._codes = ShardCodes(table)
        self._doorbell = doorbell
        self._permit = permit
        self._current = first % len(tags)
        self._since_ns = 0
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
        return not self._codes.at(time.monotonic_ns())

    @property
    def least(self) -> int:
        """The least priority to claim there: what is below it is worse than what another shard has."""
        return max(LEAST_PRIORITY, self._floor - priority_code(0))

    def _best(self, now: int) -> int:
        """Return the place of the best shard; one that is as good as others is left after `STAY_NS`."""
        codes, best = self._codes.at(now), self._current
        self._floor = elsewhere = _best_beside(codes, best)
        wanted = codes.get(best, NOTHING) + 1
        if now - self._since_ns > STAY_NS:
            self._since_ns = now
            wanted -= 1
        if elsewhere != NOTHING and elsewhere >= wanted:
            best = self._next_of([place for place, code in codes.items() if code == elsewhere and place != best])
            self._floor = _best_beside(codes, best)
        if self._floor == ASK_FIRST:  # so it has nothing that is known
            self._floor = max((code for code in codes.values() if code < ASK_FIRST), default=NOTHING)
        return best

    def _next_of(self, places: Sequence[int]) -> int:
        """Return the one of some places that comes next in this child's order."""
        begin, shards = self._turn[self._current] + 1, len(self._order)
        return min(places, key=lambda place: (self._turn[place] - begin) % shards)

    def missed(self, *, unsure: bool) -> str:
        """Note that the shard of the last claim has not answered; return it.

        ``unsure``: the claim may have taken effect.
        """
        self._stays = False
        self._codes.missed(self._current, time.monotonic_ns(), unsure=unsure)
        if not unsure:
            self._permit.give_back()
        return self._tags[self._current]

    def took(self, exchange: Exchange) -> str:
        """Take in the answer to the last claim; return its shard."""
        shard, left = self._current, exchange.left
        self._stays = exchange.suspects or exchange.again
        shun = not (exchange.claimed or left is None or left < self.least or self._stays)
        self._codes.answered(shard, self._sent_ns, priority_code(left), time.monotonic_ns(), shun=shun)
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
        next_try_ns = self._codes.next_try_ns()
        if next_try_ns is not None:
            left_s = min(left_s, next_try_ns / 1e9 - now)
        return max(0.0, left_s)

    def finish_wait(self) -> None:
        """Wait no longer."""
        if time.monotonic() >= self._sleeps_until:
            self._current = self._next_of(self._order)  # nobody rang: look at one after the other
        self._doorbell.reset()


def _best_beside(codes: dict[int, int], place: int) -> int:
    """Return the best of the codes but for that of one place."""
    code = codes.pop(place, NOTHING)
    best = max(codes.values(), default=NOTHING)
    if code:
        codes[place] = code
    return best
