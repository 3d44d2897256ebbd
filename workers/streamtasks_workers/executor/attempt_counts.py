"""Count attempts for metrics: when one starts, and how it ends.

Attempts of the inline executor are counted batch by batch: most of them are successes of one task in one stream, which
take a tenth of the time together.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from streamtasks.stores.types import Outcome

from ..process.board import Interrupt
from ..process.counted import DURATION_BOUNDS_S, SLOW_NS
from ..process.counters import Counters
from .prepared import Prepared

__all__ = ["SOON_NS", "Ended", "count_batch", "count_end", "count_start"]

type Ended = tuple[int, Prepared, Outcome, int]
"""An attempt that has ended: its slot on the board, what was prepared of it, its outcome, and how long it ran, ns."""

SOON_NS: Final = 1_000_000
"""An attempt that took so long is shown at once: another one in its batch may take much longer."""

QUICK_NS: Final = round(DURATION_BOUNDS_S[0] * 1e9)
"""What takes less is in the first bucket."""


def count_batch(counters: Counters, batch: Sequence[Ended]) -> None:
    """Count attempts of one child that ended one after the other, and show them."""
    at = 0
    while at < len(batch):
        alike = _alike(batch, at)
        if alike > 1:
            _count_alike(
                counters, [one[1] for one in batch[at : at + alike]], sum(one[3] for one in batch[at : at + alike])
            )
            at += alike
        else:
            slot, prepared, outcome, ran_ns = batch[at]
            count_start(counters, slot, prepared)
            count_end(counters, slot, prepared, outcome, ran_ns)
            at += 1
    counters.flush()


def _alike(batch: Sequence[Ended], at: int) -> int:
    """Return how many attempts from this one on are quick successes of the same task in the same stream."""
    first = batch[at][1]
    runnable, stream, begun = first.runnable, first.claimed.stream, at
    for at in range(at, len(batch)):  # noqa: B020, PLR1704 - goes on where it is
        _, prepared, outcome, ran_ns = batch[at]
        attempt = prepared.attempt
        if (
            prepared.runnable is not runnable
            or attempt is None
            or ran_ns > QUICK_NS
            or outcome.state != "SUCCESS"
            or prepared.claimed.stream != stream
            or attempt.message.due_ms
        ):
            return at - begun
    return len(batch) - begun


def _count_alike(counters: Counters, some: Sequence[Prepared], spent_ns: int) -> None:
    first, last = some[0], some[-1]
    assert first.attempt is not None
    tally = counters.tally(first.claimed.stream, first.attempt.message.task)
    counters.succeeded(tally, len(some), spent_ns)
    longest_ms, shortest_ms = _waited_ms(first), _waited_ms(last)
    # Those of one stream come in the order of their entries.
    if not counters.waited_alike(tally, len(some), longest_ms, shortest_ms):
        for one in some:
            waited_ms = _waited_ms(one)
            counters.waited_alike(tally, 1, waited_ms, waited_ms)


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
    if ran_ns < SOON_NS:
        return  # it is shown with the others of its batch
    counters.flush()
    if ran_ns >= SLOW_NS:
        counters.slow(slot, outcome.id, ran_ns, time.time_ns() // 1_000_000)


def _retry_reason(prepared: Prepared) -> str:
    if prepared.attempt is None:
        return "unknown_task"
    return "time_limit" if prepared.guard.kind in (Interrupt.SOFT_LIMIT, Interrupt.HARD_LIMIT) else "raised"
