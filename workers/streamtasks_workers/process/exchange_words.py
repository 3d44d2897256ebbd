"""On a board: whether its child reaches the store, and what the keeper sends there for it."""

from __future__ import annotations

from time import monotonic_ns, sleep
from typing import Final

from .board_layout import ANSWERED_AT, AWAY_SINCE, CUT_OFF_SINCE, HANDED_BACK_UNTIL

__all__ = ["ExchangeWords"]

HAND_BACK_NS: Final = 100_000_000
"""A child waits no longer for a hand-back of its keeper; that may have died."""


class ExchangeWords:
    """How a child's exchanges with the store go; part of a `Board`."""

    _words: memoryview

    def answered(self) -> None:
        """Note that an exchange with the store has succeeded."""
        self._words[ANSWERED_AT] = monotonic_ns()
        self._words[AWAY_SINCE] = 0

    def away(self) -> None:
        """Note that exchanges with the store fail from now on."""
        self._words[AWAY_SINCE] = monotonic_ns()

    def exchanges(self) -> tuple[int, int]:
        """Return when the child's last exchange succeeded (0: none yet), and since when they fail (0: they do not)."""
        return self._words[ANSWERED_AT], self._words[AWAY_SINCE]

    def cut_off_since(self) -> int:
        """Return since when (monotonic ns) the keeper reaches the store and this child does not; 0: it is not so."""
        return self._words[CUT_OFF_SINCE]

    def set_cut_off_since(self, since_ns: int) -> None:
        """See `cut_off_since`."""
        self._words[CUT_OFF_SINCE] = since_ns

    def hand_back_begins(self) -> None:
        """Note that messages are marked as returned, and that the store learns of it now; call with the lock held."""
        self._words[HANDED_BACK_UNTIL] = monotonic_ns() + HAND_BACK_NS

    def hand_back_ended(self) -> None:
        """Note that the store has them back, or that it cannot be reached."""
        self._words[HANDED_BACK_UNTIL] = 0

    def wait_for_hand_back(self) -> None:
        """Wait until the keeper's hand-back has reached the store, for at most `HAND_BACK_NS`.

        A child that claims before that gets what comes behind the messages that are on their way back.
        """
        while self._words[HANDED_BACK_UNTIL] > monotonic_ns():
            sleep(0.0002)
