"""settle.lua: outcomes of attempts are written, each checked by its token."""

from __future__ import annotations

from collections.abc import Sequence

from ...protocol.keys import stream_name
from ...settings import StoreSettings
from ..types import NewMessage, Outcome, Settled
from .enqueue import accept, call_back, free_children, is_callback
from .limits import limit_of, wait
from .shard import Live, Record, Shard
from .workflows import node_ended

__all__ = ["finish", "settle"]


def settle(
    shard: Shard,
    outcomes: Sequence[Outcome],
    settings: StoreSettings,
    released: Sequence[str] = (),
    callbacks: str = "",
) -> list[Settled]:
    """Write outcomes; then end the claims in ``released``, as far as they hold nothing any more.

    ``callbacks``: see `SupervisorStore.settle`.
    """
    answers: dict[tuple[str, str], Settled] = {}
    ended: list[tuple[Live, str]] = []
    follow: list[NewMessage] = []
    to_call: list[tuple[Live, int]] = []
    for outcome in outcomes:
        member = (outcome.id, outcome.token)
        if member in answers:
            continue  # given twice: the first one counts
        message = shard.held(*member)
        if message is None:
            answers[member] = _settled_before(shard, outcome)
            continue
        answers[member] = Settled.DONE
        overridden = message.phase == "X" and outcome.state not in ("REVOKED", "CALLED")
        state = "REVOKED" if overridden else outcome.state
        shard.stream(outcome.stream).drop(outcome.entry)
        if state == "RETRY":
            _retry(shard, message, outcome)
            if callbacks == "all":
                to_call.append((message, outcome.attempt))
        else:
            _end(shard, message, outcome, settings, overridden=overridden)
            if state != "CALLED" and not is_callback(message.id):
                ended.append((message, state))
                if callbacks == "all" or (callbacks and overridden):
                    to_call.append((message, 0))
        if not overridden:
            follow += outcome.follow
    shard.release(released)
    for new in follow:
        if accept(shard, new):
            shard.note("accepted", new.id, stream_name(new.queue, new.priority))
    for message, attempt in to_call:
        call_back(shard, message, attempt)
    for message, state in ended:
        if message.then:
            record = shard.records[message.id]
            keep_ms = record.expires_ms - record.finished_ms
            node_ended(shard, message, state, record.result, keep_ms)
        free_children(shard, message.id, succeeded=state in ("SUCCESS", "IGNORED"))
    return [answers[outcome.id, outcome.token] for outcome in outcomes]


def _settled_before(shard: Shard, outcome: Outcome) -> Settled:
    record, message = shard.record(outcome.id), shard.live.get(outcome.id)
    if outcome.state == "CALLED" and (message is None or message.is_blank):
        return Settled.ALREADY  # it leaves nothing that could tell
    by = record.token if record is not None else message.settled if message is not None else ""
    return Settled.ALREADY if by == outcome.token else Settled.STALE


def _retry(shard: Shard, message: Live, outcome: Outcome) -> None:
    shard.totals["RETRY"] += 1
    shard.note("settled", message.id, "RETRY")
    shard.tell("news", message.id)
    message.settled = message.token
    message.first_ms = message.first_ms or outcome.started_ms
    message.history += outcome.note.encode() + b"\n"
    message.token, message.entry, message.started_ms, message.progress = "", "", 0, b""
    suspect, limit = message.crashes >= 2, limit_of(message)
    if outcome.delay_ms > 0:
        message.phase = "D"
        shard.park(message, shard.now_ms() + outcome.delay_ms)
    elif limit is not None:
        message.suspect = message.suspect or suspect
        wait(shard, message, limit)
    else:
        message.phase = "S" if suspect else "Q"
        shard.append(message)


def _end(shard: Shard, message: Live, outcome: Outcome, settings: StoreSettings, *, overridden: bool) -> None:
    """End a message for good. Of a callback message nothing is kept but its dead letter."""
    now_ms = shard.now_ms()
    if outcome.state == "DEAD" and not overridden:
        shard.bury(outcome.note, message, settings.max_dead_letters)
    if outcome.state == "CALLED" or is_callback(message.id):
        del shard.live[message.id]
        return
    if overridden:
        # The holder was too late: its word only counts as a report, if it is one.
        history = message.history + (
            outcome.note.encode() + b"\n" if outcome.state == "RETRY" and outcome.note else b""
        )
        first_ms = message.first_ms or outcome.started_ms
        record = Record("REVOKED", outcome.token, now_ms, now_ms + settings.keep_ms(success=False), first_ms)
        record.body, record.history = message.body, history
    else:
        first_ms = outcome.first_started_ms or outcome.started_ms
        record = Record(outcome.state, outcome.token, now_ms, now_ms + outcome.keep_ms, first_ms)
        record.body, record.result, record.history = outcome.body or message.body, outcome.result, message.history
    record.started_ms, record.attempts = outcome.started_ms, outcome.attempt
    finish(shard, message, record)


def finish(shard: Shard, message: Live, record: Record) -> None:
    """Replace a message by its record: it is counted, and whoever waits for it is told."""
    del shard.live[message.id]
    shard.keep(message.id, record)
    shard.totals[record.state] += 1
    if record.started_ms:
        shard.totals["ms"] += max(0, record.finished_ms - record.started_ms)
    shard.note("settled", message.id, record.state)
    shard.tell("done", message.id)
