"""Outcomes that a keeper decides: of attempts that ran over their limit, or on after their task was revoked."""

from __future__ import annotations

import time

from streamtasks.protocol.errors import describe
from streamtasks.protocol.json import dumps
from streamtasks.settings import StoreSettings
from streamtasks.stores.types import Outcome

from ..executor.callbacks import CALLED, is_callback
from ..executor.limits import limit_exceeded
from ..process.board import Ask, Board

__all__ = ["verdict_on"]


def verdict_on(board: Board, slot: int, why: Ask, settings: StoreSettings) -> Outcome:
    """Return the outcome of the attempt in a slot that was given up on."""
    claimed, (started_ns, _) = board.claimed(slot), board.times(slot)
    now_ms = time.time_ns() // 1_000_000
    started_ms = now_ms - (time.monotonic_ns() - started_ns) // 1_000_000
    outcome = Outcome(
        claimed.id,
        claimed.token,
        claimed.stream,
        claimed.entry,
        claimed.attempt,
        claimed.first_started_ms,
        started_ms,
        "REVOKED",
        keep_ms=settings.keep_ms(success=False),
    )
    if is_callback(claimed.id):
        return outcome._replace(state=CALLED)
    if why == Ask.REVOKED:
        return outcome
    _, hard_ns, retry_ms = board.limits(slot)
    error = describe(limit_exceeded((hard_ns - started_ns) / 1e9))
    if retry_ms < 0:
        return outcome._replace(state="FAILURE", result=dumps({"e": error}))
    report = {
        "kind": "RETRY",
        "attempt": claimed.attempt,
        "worker": board.consumer,
        "started": started_ms,
        "finished": now_ms,
        "error": error,
    }
    return outcome._replace(state="RETRY", note=dumps(report).decode(), keep_ms=0, delay_ms=retry_ms)
