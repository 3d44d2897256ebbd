"""Outcomes that the keeper decides: of attempts that exceeded their limit, or ran on after a revocation."""

from __future__ import annotations

import logging
import time

from streamtasks.protocol.callback_message import is_callback
from streamtasks.protocol.errors import describe
from streamtasks.protocol.state import State
from streamtasks.settings import StoreSettings
from streamtasks.stores.types import Outcome

from ..executor.limits import limit_exceeded
from ..executor.outcomes import Outcomes
from ..process.board import Board, Interrupt
from ..process.log_records import fields_of

__all__ = ["enforced_outcome", "log_enforced", "started_ms_of", "wall_ms"]


logger = logging.getLogger("streamtasks.worker")


def wall_ms() -> int:
    """Return the time, ms since the epoch."""
    return time.time_ns() // 1_000_000


def started_ms_of(board: Board, slot: int) -> int:
    """Return when the attempt in a slot started, ms since the epoch."""
    return wall_ms() - (time.monotonic_ns() - board.times(slot)[0]) // 1_000_000


def enforced_outcome(board: Board, slot: int, why: Interrupt, settings: StoreSettings) -> Outcome:
    """Return the outcome of the attempt in a slot that was ended, or that lives on although it had to end."""
    claimed, started_ms = board.claimed(slot), started_ms_of(board, slot)
    outcomes = Outcomes(settings, board.consumer, wall_ms)
    if is_callback(claimed.id):
        return outcomes.called(claimed, started_ms)
    if why == Interrupt.REVOKED:
        return outcomes.final(claimed, State.REVOKED, started_ms)
    _, hard_ns, retry_ms = board.limits(slot)
    error = describe(limit_exceeded((hard_ns - board.times(slot)[0]) / 1e9))
    if retry_ms < 0:
        return outcomes.failure(claimed, started_ms, error)
    return outcomes.retry(claimed, started_ms, error, retry_ms / 1000)


def log_enforced(board: Board, slot: int, why: Interrupt, settings: StoreSettings) -> None:
    """Log the end of an attempt that its own process cannot log."""
    claimed, outcome = board.claimed(slot), enforced_outcome(board, slot, why, settings)
    if is_callback(claimed.id):
        return
    level = logging.ERROR if outcome.state == State.FAILURE else logging.INFO
    again = f" retry_in={outcome.delay_ms / 1000:.1f}s" if outcome.state == State.RETRY else ""
    ran_s = (time.monotonic_ns() - board.times(slot)[0]) / 1e9
    logger.log(
        level,
        "Task id=%s state=%s queue=%s attempt=%d runtime=%.3fs%s: ended by the worker, it %s",
        claimed.id, outcome.state, claimed.stream.partition(":")[2], claimed.attempt, ran_s, again,
        "was revoked" if why == Interrupt.REVOKED else "ran for longer than its time limit",
        extra={**fields_of(claimed, board.consumer), "task_state": outcome.state, "task_runtime": round(ran_s, 6)},
    )  # fmt: skip
