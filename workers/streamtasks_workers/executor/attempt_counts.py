"""Count attempts for metrics and charts: when one starts, and how it ends.

Attempts of the inline executor are counted together where they are alike: most of them are quick successes of one task
in one stream. Every task costs this, so there is little of it.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from streamtasks.stores.types import Outcome

from ..process.board import Interrupt
from ..process.counted import RUN_BOUNDS_S, SLOW_NS
from ..process.counters import Counters
from .prepared import Prepared

__all__ = ["SOON_NS", "AttemptCounts", "ConcurrentCounts"]

SOON_NS: Final = 1_000_000
"""An attempt that took so long is shown at once: another one in its batch may take much longer."""

QUICK_NS: Final = round(RUN_BOUNDS_S[0] * 1e9)
"""What takes less is in the first bucket."""


class AttemptCounts:
    """The attempts of a child that runs one at a time."""

    __slots__ = ("_counters", "_quick", "_quick_ns")

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._quick: list[Prepared] = []  # successes of one task in one stream that are not counted yet
        self._quick_ns = 0

    def runs(self, prepared: Prepared) -> None:
        """Note that an attempt begins of another task, or of another stream, than that before it."""
        self._count_quick()
        attempt = prepared.attempt
        self._counters.runs(prepared.claimed.stream, "" if attempt is None else attempt.message.task)

    def ended(self, slot: int, prepared: Prepared, outcome: Outcome, ran_ns: int) -> None:
        """Count an attempt that has ended."""
        if ran_ns <= QUICK_NS and outcome.state == "SUCCESS":
            attempt = prepared.attempt
            if attempt is not None and not attempt.message.due_ms:
                self._quick.append(prepared)
                self._quick_ns += ran_ns
                return
        self._count_quick()
        count_start(self._counters, slot, prepared)
        count_end(self._counters, slot, prepared, outcome, ran_ns)
        if ran_ns >= SOON_NS:
            self._counters.flush()

    def flush(self) -> None:
        """Show readers what was counted; after each batch."""
        self._count_quick()
        self._counters.flush()

    def _count_quick(self) -> None:
        some, counters = self._quick, self._counters
        if not some:
            return
        first = some[0]
        assert first.attempt is not None
        tally = counters.tally(first.claimed.stream, first.attempt.message.task)
        counters.succeeded(tally, len(some), self._quick_ns)
        longest_ms, shortest_ms = _waited_ms(first), _waited_ms(some[-1])
        # Those of one stream come in the order of their entries.
        if not counters.waited_alike(tally, len(some), longest_ms, shortest_ms):
            for one in some:
                waited_ms = _waited_ms(one)
                counters.waited_alike(tally, 1, waited_ms, waited_ms)
        some.clear()
        self._quick_ns = 0


class ConcurrentCounts:
    """The attempts of a child that runs many at once; only its loop's thread uses it. No ``counters``: no counts."""

    __slots__ = ("_counters", "_queued", "_running")

    def __init__(self, counters: Counters | None) -> None:
        self._counters = counters
        self._queued: deque[tuple[int, Prepared]] = deque()  # in the hands of threads
        self._running: dict[int, Prepared] = {}  # slot -> the attempt whose start was counted

    def queued(self, slot: int, prepared: Prepared) -> None:
        """Note what threads will take from their queue, in its order; see `taken`."""
        if self._counters is not None:
            self._queued.append((slot, prepared))

    def taken(self, waiting: int) -> None:
        """Count the starts of all that was queued, but the last so many."""
        while len(self._queued) > waiting:
            self.started(*self._queued.popleft())

    def started(self, slot: int, prepared: Prepared) -> None:
        """Count the start of an attempt in a slot of the board."""
        if self._counters is None:
            return
        count_start(self._counters, slot, prepared)
        self._running[slot] = prepared

    def ended(self, slot: int, outcome: Outcome, ran_ns: int) -> None:
        """Count the end of an attempt whose start was counted."""
        if self._counters is not None and (prepared := self._running.pop(slot, None)) is not None:
            count_end(self._counters, slot, prepared, outcome, ran_ns)

    def flush(self) -> None:
        """Show readers what was counted; before outcomes are settled."""
        if self._counters is not None:
            self._counters.flush()


def _waited_ms(prepared: Prepared) -> int:
    """Return how long a message could have been claimed before its attempt started, ms; -1: it is not known."""
    assert prepared.attempt is not None
    try:
        return max(0, prepared.attempt.started_ms - int(prepared.claimed.entry[:13]))
    except ValueError:
        return -1


def count_start(counters: Counters, slot: int, prepared: Prepared) -> None:
    """Count the start of an attempt in a slot of the board."""
    claimed, attempt = prepared.claimed, prepared.attempt
    if attempt is None:
        counters.started(slot, claimed.stream, "", 0, "")
        return
    message = attempt.message
    counters.started(slot, claimed.stream, message.task, attempt.started_ms, claimed.entry)
    if message.due_ms and claimed.attempt == 1:
        counters.late(attempt.started_ms - message.due_ms)


def count_end(counters: Counters, slot: int, prepared: Prepared, outcome: Outcome, ran_ns: int) -> None:
    """Count the end of an attempt in a slot of the board, which ran so long."""
    state = outcome.state
    counters.finished(slot, state, ran_ns)
    if state == "RETRY":
        counters.retried(slot, _retry_reason(prepared))
    elif state == "DEAD":
        counters.count("dead", outcome.note.partition(":")[0])
    if ran_ns >= SLOW_NS:
        counters.slow(slot, outcome.id, ran_ns, time.time_ns() // 1_000_000)


def _retry_reason(prepared: Prepared) -> str:
    if prepared.attempt is None:
        return "unknown_task"
    return "time_limit" if prepared.guard.kind in (Interrupt.SOFT_LIMIT, Interrupt.HARD_LIMIT) else "raised"
