"""Rate limits: how starts are counted (the generic cell rate algorithm). Times are microseconds (``_us``).

A *limiter*, one for all shards, hands out tokens; each is one start. A shard asks for tokens when it expects that there
are some, and keeps a `LimitState` to know when that is.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..types import Limit

__all__ = ["LOOK_US", "LimitState", "Taken", "at_once", "repeat_after_us", "slack_us", "take", "tokens_left"]

LOOK_US: Final = 2_000_000
"""A shard looks again at its messages that are admitted and unclaimed after this time."""


def slack_us(interval_us: int) -> int:
    """Return how far a start that comes late may be caught up."""
    return min(interval_us // 5, 20_000)


def at_once(interval_us: int) -> int:
    """Return how many starts fall into 20 ms, the grain in which fast limits are counted."""
    return max(1, min(100, 20_000 // interval_us))


def repeat_after_us(interval_us: int) -> int:
    """Return after which time without an answer tokens are asked for again."""
    return max(50_000, min(interval_us, 1_000_000))


class Taken(NamedTuple):
    """Tokens that a limiter gives: ``full_at_us`` is its new state, ``wait_us`` the time until there is one if none."""

    tokens: int
    full_at_us: int
    wait_us: int


def take(limit: Limit, tokens: int, full_at_us: int, now_us: int) -> Taken:
    """Take tokens from a limiter.

    Args:
        limit: the rate, as the caller knows it.
        tokens: how many are wanted.
        full_at_us: the limiter's state: when its next start would be on time; 0: it was never used.
        now_us: the time.
    """
    burst = max(limit.burst, at_once(limit.interval_us))
    from_us = min(max(full_at_us, now_us - slack_us(limit.interval_us)), now_us + burst * limit.interval_us)
    given = min((now_us - from_us) // limit.interval_us + burst, tokens)
    next_us = from_us + given * limit.interval_us
    wait_us = 0 if given > 0 else from_us - (burst - 1) * limit.interval_us - now_us
    return Taken(given, next_us if given > 0 else min(next_us, full_at_us), wait_us)


def tokens_left(limit: Limit, full_at_us: int, now_us: int) -> int:
    """Return how many tokens a limiter would give now; arguments as of `take`."""
    return take(limit, sys.maxsize, full_at_us, now_us).tokens


@dataclass(slots=True)
class LimitState:
    """A limit in use on one shard.

    ``sequence``: the place of the last message that began to wait. ``asked``, ``answered``: numbers of the last request
    for tokens and of the last grant. ``full_at_us``: when the next start would be on time, as far as the shard knows.
    ``out``: ids of messages that were admitted and not claimed yet.
    """

    limit: Limit
    sequence: int = 0
    asked: int = 0
    answered: int = 0
    full_at_us: int = 0
    out: list[str] = field(default_factory=list)

    @property
    def grain(self) -> int:
        """How many starts are counted as one."""
        return at_once(self.limit.interval_us)

    @property
    def most_out(self) -> int:
        """How many messages may be admitted and unclaimed at a time."""
        return max(self.grain, min(math.ceil(self.limit.burst / 2), 10))

    @property
    def room(self) -> int:
        """How many more messages may be admitted now."""
        return self.most_out - len(self.out)

    @property
    def is_asking(self) -> bool:
        """Whether a request for tokens has no answer yet."""
        return self.asked != self.answered

    def bring_near(self, now_us: int) -> None:
        """Correct what an earlier rate left: the next start cannot be further ahead than this."""
        furthest = max(self.limit.burst, self.grain) + self.grain
        self.full_at_us = min(self.full_at_us, now_us + furthest * self.limit.interval_us)

    def ask_at_us(self, now_us: int) -> int | None:
        """Return when to ask for the next tokens; None while enough messages are admitted."""
        least = math.ceil(self.grain / 2)
        if len(self.out) + least > self.most_out:
            return None
        ahead = len(self.out) + least - max(self.limit.burst, self.grain)
        return max(self.full_at_us + ahead * self.limit.interval_us, now_us)

    def wanted(self, now_us: int) -> int:
        """Return how many tokens to ask for now, at least one when the time of `ask_at_us` has come.

        They are no more than may start at once by the shard's own count. The limiter may have more: it counts tokens,
        which may have been used late.
        """
        from_us = max(self.full_at_us, now_us - slack_us(self.limit.interval_us))
        own = (now_us - from_us) // self.limit.interval_us + max(self.limit.burst, self.grain)
        return min(self.most_out, own) - len(self.out)

    def count_start(self, now_us: int) -> None:
        """Count a start."""
        self.bring_near(now_us)
        late_us = now_us - slack_us(self.limit.interval_us)
        self.full_at_us = max(self.full_at_us, late_us) + self.limit.interval_us

    def take_back_start(self) -> None:
        """Count a start less: it did not happen."""
        self.full_at_us = max(0, self.full_at_us - self.limit.interval_us)

    def refused(self, now_us: int, wait_us: int) -> None:
        """Take in that the limiter gives no token before ``wait_us``."""
        ahead = max(self.limit.burst, self.grain) - 1 - len(self.out)
        self.full_at_us = max(self.full_at_us, now_us + wait_us + ahead * self.limit.interval_us)
