"""Growing, jittered pauses between tries: one class for every loop that repeats what failed."""

from __future__ import annotations

from ..protocol.jitter import RANDOM

__all__ = ["Backoff"]


class Backoff:
    """Pauses that double from ``first_s`` to ``most_s`` seconds, each between half and one and a half of its mean.

    Jitter keeps many processes from retrying at the same moment.

    Args:
        first_s: mean of the first pause, seconds.
        most_s: largest mean, seconds.
        at_once: this many tries follow without any pause.
    """

    __slots__ = ("_at_once", "_first_s", "_most_s", "tries")

    def __init__(self, first_s: float, most_s: float, *, at_once: int = 0) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._at_once = at_once
        self.tries = 0

    def next_s(self) -> float:
        """Return how long to wait before the next try, seconds."""
        doublings = self.tries - self._at_once
        self.tries += 1
        if doublings < 0:
            return 0.0
        mean_s = min(self._most_s, self._first_s * 2.0 ** min(doublings, 60))
        return mean_s * (0.5 + RANDOM.random())

    def reset(self) -> None:
        """Start again with the first pause, because a try succeeded."""
        self.tries = 0
