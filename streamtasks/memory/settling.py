"""settle.lua: outcomes of attempts are written, each checked by its token."""

from __future__ import annotations

from collections.abc import Sequence

from ..settings import StoreSettings
from ..transitions import Outcome, Settled
from .shard import Live, Record, Shard

__all__ = ["finish", "settle"]


def settle(
    shard: Shard, outcomes: Sequence[Outcome], settings: StoreSettings, released: Sequence[str] = ()
) -> list[Settled]:
    """Write outcomes; then end the claims in ``released``, as far as they hold nothing any more."""
    answers: dict[tuple[str, str], Settled] = {}
    for outcome in outcomes:
        member = (outcome.id, outcome.token)
        if member not in answers:  # given twice: the first one counts
            answers[member] = _settle_one(shard, outcome, settings)
    shard.release(released)
    return [answers[outcome.id, outcome.token] for outcome in outcomes]


def _settle_one(shard: Shard, outcome: Outcome, settings: StoreSettings) -> Settled:
    message = shard.held(outcome.id, outcome.token)
    if message is None:
        return _settled_before(shard, outcome)
    shard.stream(outcome.stream).drop(outcome.entry)
    if outcome.state == "RETRY":
        _retry(shard, message, outcome)
    else:
        if outcome.state == "DEAD":
            shard.bury(outcome.note, message, settings.max_dead_letters)
        record = Record(
            outcome.state,
            outcome.token,
            shard.now_ms(),
            shard.now_ms() + outcome.keep_ms,
            outcome.first_started_ms or outcome.started_ms,
            outcome.started_ms,
            outcome.attempt,
            outcome.body or message.body,
            outcome.result,
            message.history,
        )
        finish(shard, message, record)
    shard.totals[outcome.state] += 1
    return Settled.DONE


def _settled_before(shard: Shard, outcome: Outcome) -> Settled:
    record, message = shard.record(outcome.id), shard.live.get(outcome.id)
    by = record.token if record is not None else message.settled if message is not None else ""
    return Settled.ALREADY if by == outcome.token else Settled.STALE


def _retry(shard: Shard, message: Live, outcome: Outcome) -> None:
    message.settled = message.token
    message.first_ms = message.first_ms or outcome.started_ms
    message.history += outcome.note.encode() + b"\n"
    message.token, message.entry, message.started_ms, message.progress = "", "", 0, b""
    if outcome.delay_ms > 0:
        message.phase = "D"
        shard.park(message, shard.now_ms() + outcome.delay_ms)
    else:
        message.phase = "Q"
        shard.append(message)


def finish(shard: Shard, message: Live, record: Record) -> None:
    """End a message: its record is all that is left, and whoever waits for it is told."""
    del shard.live[message.id]
    shard.keep(message.id, record)
    if record.started_ms:
        shard.totals["ms"] += max(0, record.finished_ms - record.started_ms)
    shard.tell("done", message.id)
