"""Count a crash against the attempts that ran in a child when it died (charge.lua)."""

from __future__ import annotations

from collections.abc import Sequence

from ..rules import phases
from ..rules.attempts import crash_charge
from ..rules.history import with_report
from ..types import Charge, Claimed
from .limits import wait_again
from .shard import Shard
from .state import LiveMessage

__all__ = ["charge"]


def charge(shard: Shard, attempts: Sequence[tuple[Claimed, int, str]]) -> list[Charge]:
    """Count a crash against attempts: (claimed, started ms, report)."""
    answers: list[Charge] = []
    tokens: set[str] = set()
    for claimed, started_ms, report in attempts:
        message = shard.held(claimed.id, claimed.token)
        answer = Charge.STALE
        if message is not None:
            answer = crash_charge(message.phase, message.crashes, shard.settings.crash_limit)
        if message is not None and answer is not Charge.LIMIT:
            tokens.add(claimed.token)
            _charge(shard, message, started_ms, report, answer)
        answers.append(answer)
    shard.release(tokens)
    return answers


def _charge(shard: Shard, message: LiveMessage, started_ms: int, report: str, answer: Charge) -> None:
    message.crashes += 1
    message.settled = message.token
    message.first_ms = message.first_ms or started_ms
    message.history = with_report(message.history, report.encode())
    shard.totals["CRASH"] += 1
    limit = None if message.phase == phases.REVOKED else message.active_limit
    if answer is Charge.AFTER_DELAY:
        shard.stream(message.name).drop(message.entry)
        message.entry = ""
        message.leave(phases.DELAYED)
        shard.park(message, shard.now_ms() + round(shard.settings.crash_delay_s * 1000))
    elif limit is not None:
        wait_again(shard, message, limit)
    else:
        shard.put_back(message)
