"""Outcomes that the keeper decides: of attempts that exceeded their limit, or ran on after a revocation."""

from __future__ import annotations

import time

from streamtasks.protocol.callback_message import is_callback
from streamtasks.protocol.errors import describe
from streamtasks.protocol.state import State
from streamtasks.settings import StoreSettings
from streamtasks.stores.types import Outcome

from ..executor.limits import limit_exceeded
from ..executor.outcomes import Outcomes
from ..process.board import Board, Interrupt

__all__ = ["enforced_outcome", "started_ms_of", "wall_ms"]


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
