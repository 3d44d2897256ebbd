"""Write outcomes of attempts, each checked by its token (settle.lua)."""

from __future__ import annotations

from collections.abc import Sequence

from ...protocol.callback_message import is_callback
from ..rules import phases
from ..rules.attempts import is_overridden, must_run_alone
from ..rules.fan_in import SUCCEEDED
from ..rules.history import with_report
from ..types import NewMessage, Outcome, Settled
from .enqueue import accept, call_back, free_children
from .limits import wait
from .shard import Shard
from .state import LiveMessage, Record
from .workflows import node_ended

__all__ = ["settle"]


def settle(
    shard: Shard,
    outcomes: Sequence[Outcome],
    callbacks: str = "",
    *,
    released: Sequence[str] = (),
) -> list[Settled]:
    """Write outcomes; then end the claims in ``released`` that hold nothing any more.

    ``callbacks``: see `SupervisorStore.settle`.
    """
    answers: dict[tuple[str, str], Settled] = {}
    ended: list[tuple[LiveMessage, str]] = []
    follow: list[NewMessage] = []
    to_call: list[tuple[LiveMessage, str, int]] = []
    for outcome in outcomes:
        member = (outcome.id, outcome.token)
        if member in answers:
            continue  # given twice: the first one counts
        message = shard.held(*member)
        if message is None:
            answers[member] = _settled_before(shard, outcome)
            continue
        answers[member] = Settled.DONE
        overridden = is_overridden(message.phase, outcome.state)
        state = "REVOKED" if overridden else outcome.state
        shard.stream(outcome.stream).drop(outcome.entry)
        if state == "RETRY":
            _retry(shard, message, outcome)
            if callbacks == "all" and outcome.note:
                to_call.append((message, state, outcome.attempt))
        else:
            _end(shard, message, outcome, overridden=overridden)
            if state != "CALLED" and not is_callback(message.id):
                ended.append((message, state))
                if callbacks == "all" or (callbacks and overridden):
                    to_call.append((message, state, 0))
        if not overridden:
            follow += outcome.follow
    shard.release(released)
    for new in follow:
        accept(shard, new)
    for message, state, attempt in to_call:
        call_back(shard, message, state, attempt)
    for message, state in ended:
        if message.then:
            record = shard.records[message.id]
            keep_ms = record.expires_ms - record.finished_ms
            node_ended(shard, message, state, record.result, keep_ms)
        free_children(shard, message.id, succeeded=state in SUCCEEDED)
    return [answers[outcome.id, outcome.token] for outcome in outcomes]


def _settled_before(shard: Shard, outcome: Outcome) -> Settled:
    record, message = shard.record(outcome.id), shard.live.get(outcome.id)
    if outcome.state == "CALLED" and (message is None or message.is_blank):
        return Settled.ALREADY  # nothing is left of it that could show more
    by = record.token if record is not None else message.settled if message is not None else ""
    return Settled.ALREADY if by == outcome.token else Settled.STALE


def _retry(shard: Shard, message: LiveMessage, outcome: Outcome) -> None:
    shard.push("news", message.id)
    message.settled = message.token
    if outcome.note:
        shard.totals["RETRY"] += 1
        shard.note("settled", message.id, "RETRY")
        message.first_ms = message.first_ms or outcome.started_ms
        message.history = with_report(message.history, outcome.note.encode())
    else:  # it is left to another worker
        message.attempts -= 1
        message.first_ms = message.first_ms if message.attempts else 0
    message.token, message.entry, message.started_ms, message.progress = "", "", 0, b""
    suspect, limit = must_run_alone(message.crashes), message.active_limit
    if outcome.delay_ms > 0:
        shard.park(message, shard.now_ms() + outcome.delay_ms)
    elif limit is not None:
        message.suspect = message.suspect or suspect
        wait(shard, message, limit)
    else:
        message.phase = phases.SUSPECT if suspect else phases.QUEUED
        shard.append(message)


def _end(shard: Shard, message: LiveMessage, outcome: Outcome, *, overridden: bool) -> None:
    """End a message for good. Of a callback message nothing is kept but its dead letter."""
    now_ms = shard.now_ms()
    if outcome.state == "DEAD" and not overridden:
        shard.bury(outcome.note, message)
    if outcome.state == "CALLED" or is_callback(message.id):
        del shard.live[message.id]
        return
    if overridden:
        # The holder was too late: its outcome is kept only as a report of a retry.
        history = message.history
        if outcome.state == "RETRY" and outcome.note:
            history = with_report(history, outcome.note.encode())
        first_ms = message.first_ms or outcome.started_ms
        record = Record("REVOKED", outcome.token, now_ms, now_ms + shard.settings.keep_ms(success=False), first_ms)
        record.body, record.history = message.body, history
    else:
        first_ms = outcome.first_started_ms or outcome.started_ms
        record = Record(outcome.state, outcome.token, now_ms, now_ms + outcome.keep_ms, first_ms)
        record.body, record.result, record.history = outcome.body or message.body, outcome.result, message.history
    record.started_ms, record.attempts = outcome.started_ms, outcome.attempt
    shard.finish(message, record)
