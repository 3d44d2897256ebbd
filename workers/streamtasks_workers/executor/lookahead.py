"""How much a child with many places claims ahead, so that none is empty while an exchange is on its way."""

from __future__ import annotations

from typing import Final

from .link import MOST

__all__ = ["GATHER_S", "Lookahead"]

GATHER_S: Final = 0.004
"""While something waits for a place in a child, its outcomes are gathered for so long, seconds."""

AHEAD_NS: Final = 8_000_000
"""Claimed ahead is what will start within this time, ns: half of it is gathered, an exchange takes some of the rest."""


class Lookahead:
    """A moving average of how long attempts take, whatever runs beside them."""

    __slots__ = ("_average_ns",)

    def __init__(self) -> None:
        self._average_ns = 0.0

    def measured(self, ran_ns: int) -> None:
        """Take in how long an attempt took."""
        self._average_ns = 0.9 * self._average_ns + 0.1 * ran_ns if self._average_ns else float(ran_ns)

    def of(self, places: int) -> int:
        """Return how many messages so many places will start soon, if attempts go on to take as long as they did."""
        return min(MOST, int(places * AHEAD_NS / self._average_ns)) if self._average_ns else 0
