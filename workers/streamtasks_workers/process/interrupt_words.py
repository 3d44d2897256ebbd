"""Time limits, interrupt requests and enforced outcomes on a board."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic_ns

from .board_layout import (
    ACKNOWLEDGED,
    ENFORCED,
    HARD,
    HEADER_BYTES,
    ON_LIMIT,
    REQUESTED,
    SLOT_BYTES,
    SOFT,
    STARTED,
    WATCHED,
)
from .slot_states import Interrupt

__all__ = ["InterruptWords"]


class InterruptWords:
    """What a child and the keeper tell each other about ending an attempt; part of a `Board`."""

    _words: memoryview

    def limit(self, slot: int, started_ns: int, soft_s: float | None, hard_s: float | None, retry_ms: int) -> None:
        """Note the time limits of the attempt that has just started.

        ``retry_ms``: when it is run again after the hard one; -1: that one is final.
        """
        words, at = self._words, (HEADER_BYTES + slot * SLOT_BYTES) // 8
        words[at + ON_LIMIT] = retry_ms + 1
        words[at + SOFT] = started_ns + round(soft_s * 1e9) if soft_s else 0
        words[at + HARD] = started_ns + round(hard_s * 1e9) if hard_s else 0
        words[WATCHED] = 1

    def requested_interrupt(self, slot: int, started_ns: int) -> int:
        """Return the interrupt requested of the attempt that started then in this slot."""
        asked = self._words[(HEADER_BYTES + slot * SLOT_BYTES) // 8 + REQUESTED]
        return asked & 3 if asked >> 2 == started_ns else 0

    def acknowledge(self) -> None:
        """Note that interrupt requests have been looked at."""
        self._words[ACKNOWLEDGED] = monotonic_ns()

    @property
    def watched(self) -> bool:
        """Whether any attempt of this child ever had a limit or an interrupt request."""
        return self._words[WATCHED] != 0

    def limits(self, slot: int) -> tuple[int, int, int]:
        """Return when an attempt is interrupted and when it is ended (monotonic ns; 0: never), and ``retry_ms``."""
        at = (HEADER_BYTES + slot * SLOT_BYTES) // 8
        words = self._words
        return words[at + SOFT], words[at + HARD], words[at + ON_LIMIT] - 1

    def overdue(self, slots: Iterable[int], now_ns: int) -> list[int]:
        """Return the slots whose attempts are over a limit, or were asked to end. Of many attempts few are."""
        words, first, each, found = self._words, HEADER_BYTES // 8, SLOT_BYTES // 8, []
        for slot in slots:
            at = first + slot * each
            soft, hard, asked = words[at + SOFT], words[at + HARD], words[at + REQUESTED]
            if (soft and soft <= now_ns) or (hard and hard <= now_ns) or (asked and asked >> 2 == words[at + STARTED]):
                found.append(slot)
        return found

    def request_interrupt(self, slot: int, started_ns: int, what: Interrupt) -> None:
        """Request an interrupt of the attempt that started then; the child looks when it gets a signal."""
        self._words[(HEADER_BYTES + slot * SLOT_BYTES) // 8 + REQUESTED] = started_ns << 2 | what
        self._words[WATCHED] = 1

    def acknowledged_at(self) -> int:
        """Return when the child last looked at interrupt requests (monotonic ns)."""
        return self._words[ACKNOWLEDGED]

    def enforce(self, slot: int, started_ns: int, why: Interrupt) -> None:
        """Note that the attempt that started then counts as ended, whatever it still does, and why."""
        self._words[(HEADER_BYTES + slot * SLOT_BYTES) // 8 + ENFORCED] = started_ns << 2 | why

    def enforced(self, slot: int) -> int:
        """Return why the outcome of the attempt in a slot was enforced (see `Interrupt`); 0: it was not."""
        at = (HEADER_BYTES + slot * SLOT_BYTES) // 8
        enforced = self._words[at + ENFORCED]
        return enforced & 3 if enforced >> 2 == self._words[at + STARTED] else 0
