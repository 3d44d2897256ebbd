"""Count attempts for metrics: when one starts, and how it ends."""

from __future__ import annotations

import time
from typing import Final

from streamtasks.stores.types import Outcome

from ..process.board import Interrupt
from ..process.counters import SLOW_NS, Counters
from .prepared import Prepared

__all__ = ["count_end", "count_start"]

SOON_NS: Final = 1_000_000
"""An attempt that took so long is shown at once: another one in its batch may take much longer."""


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
