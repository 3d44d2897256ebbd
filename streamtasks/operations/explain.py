"""Explain why a task waits, or where its time went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from ..protocol.state import Snapshot, State
from ..protocol.task_digests import digest
from ..stores.inspection_types import MOST_AHEAD, Standing, WorkerInfo
from ..stores.rules import phases
from ..stores.rules.consumers import worker_of
from .situation import Situation, look_at
from .store_calls import Steps, StoreOperation

__all__ = ["CLOCK_MS", "Reason", "explain", "explain_task"]

CLOCK_MS: Final = 1000
"""A clock that differs by more from that of the store is named, ms."""

_CRASHES_ALONE: Final = 2


class Reason(NamedTuple):
    """Why a task waits, or where its time went.

    Attributes:
        code: a word for programs; `docs/explain.md` lists all.
        text: for people.
        until_ms: when it ends by itself, ms since the epoch by the store's clock; 0: not by itself, or not known.
        stops: whether the task cannot be claimed while it lasts.
    """

    code: str
    text: str
    until_ms: int = 0
    stops: bool = False


@StoreOperation
def explain_task(task_id: str) -> Steps[list[Reason]]:
    """Return why a task waits, or where its time went: the most important reason first. Seven round trips at most.

    Raises:
        InvalidTask: it cannot be a task's id.
        StoreError: the store cannot be reached.
    """
    return explain((yield from look_at.steps(task_id)))


def explain(of: Situation) -> list[Reason]:
    """Return the reasons, the most important first. Pure: nothing is asked."""
    snapshot, standing = of.snapshot, of.standing
    if snapshot is None:
        return [
            Reason("unknown", "Nothing is known of it: it was never enqueued here, or its record has expired.", 0, True)
        ]
    if standing is None:
        if snapshot.is_finished:
            return list(_finished(snapshot))
        return [Reason("ended", "It has just ended; ask again.", 0, True)]
    reasons = [
        *_held(of, snapshot, standing),
        *_waits(of, snapshot, standing),
        *_paused(of, standing),
        *_unserved(of, standing),
        *_queued(of, snapshot, standing),
        *_clock(of, standing),
    ]
    return sorted(reasons, key=lambda reason: not reason.stops)


# -- finished ------------------------------------------------------------------------------------------


def _finished(snapshot: Snapshot) -> Iterator[Reason]:
    yield Reason("finished", f"It ended at {_moment(snapshot.finished_ms)} as {snapshot.state.value}.", 0, True)
    first_ms, last_ms = snapshot.first_started_ms or snapshot.started_ms, snapshot.started_ms
    if not last_ms:
        yield Reason("never_started", "It never started.", 0, True)
        return
    yield Reason("waited", f"It waited {_span(first_ms - snapshot.enqueued_ms)} for its first start.", 0, True)
    if last_ms > first_ms:
        times = f"{snapshot.attempts} attempts: the last one began {_span(last_ms - first_ms)} after the first"
        yield Reason("earlier_attempts", f"It took {times}.{_last_report(snapshot)}", 0, True)
    yield Reason("ran", f"Its last attempt ran {_span(snapshot.finished_ms - last_ms)}.", 0, True)


# -- held by a worker ----------------------------------------------------------------------------------


def _held(of: Situation, snapshot: Snapshot, standing: Standing) -> Iterator[Reason]:
    if standing.phase not in phases.HELD:
        return
    child = standing.consumer or "a child"
    if phases.is_running(standing.phase, snapshot.started_ms):
        ran = _span(standing.now_ms - snapshot.started_ms)
        yield Reason("running", f"Attempt {snapshot.attempts} has been running for {ran}, in child {child}.", 0, True)
    else:
        yield Reason("claimed", f"Child {child} has claimed it and starts it next, or hands it back.", 0, True)
    if standing.phase == phases.REVOKED:
        yield Reason("revoked", "It is revoked: whatever its attempt does, it will end as REVOKED.", 0, True)
    worker = next((one for one in of.workers if one.name == worker_of(standing.consumer)), None)
    if worker is not None and worker.is_live:
        return
    silent = "is not registered any more" if worker is None else f"has been silent for {_span(worker.silent_ms)}"
    until_ms = max(standing.lease_ms, standing.hold_until_ms)
    if standing.hold_until_ms > standing.now_ms:
        rest = _moment(standing.hold_until_ms)
        yield Reason(
            "reclaim_rests",
            f"All workers were silent; until {rest} nothing is taken back from them, as they may come back.",
            standing.hold_until_ms,
            True,
        )
    lease = f"Its lease lives until {_moment(standing.lease_ms)}" if standing.lease_ms else "Its lease has ended"
    yield Reason("worker_silent", f"Its worker {silent}. {lease}; then another worker takes it back.", until_ms, True)


# -- waits for something of its own --------------------------------------------------------------------


def _waits(of: Situation, snapshot: Snapshot, standing: Standing) -> Iterator[Reason]:
    if standing.phase == phases.BLOCKED:
        yield _blocked(of, snapshot)
    elif standing.phase == phases.DELAYED:
        yield _delayed(snapshot, standing)
    elif standing.phase == phases.LIMITED:
        yield _limited(standing)
    if standing.phase not in phases.HELD and standing.skip_reason:
        kind, _, parent = standing.skip_reason.partition(":")
        why = {
            "revoked": "It is revoked and will not run: the next claim records it as REVOKED.",
            "parent": f"Task {parent}, which it follows, did not succeed: the next claim records it as FAILURE.",
            "late": "The group that it follows was not finished in time: the next claim records it as FAILURE.",
        }
        yield Reason("will_not_run", why.get(kind, f"It will not run: {standing.skip_reason}."))
    elif of.message is None:
        yield Reason("unreadable", "This process cannot read its call; a worker without its keys cannot, either.")
    elif (expires_ms := of.message.expires_at_ms(snapshot.enqueued_ms)) and standing.phase not in phases.HELD:
        if expires_ms <= standing.now_ms:
            yield Reason("expired", f"It expired at {_moment(expires_ms)}: the next claim records it as EXPIRED.")
        else:
            yield Reason("expires", f"If it has not started by {_moment(expires_ms)}, it expires.", expires_ms)


def _blocked(of: Situation, snapshot: Snapshot) -> Reason:
    what = snapshot.waits_for
    if of.message is not None and of.message.follows.startswith("g"):
        return Reason("blocked_by_group", f"It waits for a group of workflow {what}: all of that must end.", 0, True)
    state = "nothing is known of that" if of.parent is None else f"that is {of.parent.state.value}"
    return Reason("blocked", f"It waits until task {what} has succeeded; {state}.", 0, True)


def _delayed(snapshot: Snapshot, standing: Standing) -> Reason:
    due_ms = snapshot.due_ms
    kind = str(snapshot.reports[-1].get("kind")) if snapshot.reports else ""
    when = f"until {_moment(due_ms)} (in {_span(due_ms - standing.now_ms)})"
    if due_ms <= standing.now_ms:
        when = f"until {_moment(due_ms)}, which has come: a worker moves it to its queue"
    code, why = {
        "RETRY": ("retry_delay", "It is run again after attempt {n}: it waits {when}."),
        "CRASH": (
            "crash_delay",
            "Its process has crashed {crashes} times: it waits {when}, then runs alone.",
        ),
        "UNKNOWN": ("unknown_task_delay", "A worker claimed it and did not know its task: it waits {when}."),
    }.get(kind, ("delayed", "It is delayed {when}."))
    text = why.format(n=snapshot.attempts, when=when, crashes=standing.crashes)
    return Reason(code, text + (_last_report(snapshot) if code != "delayed" else ""), due_ms, True)


def _limited(standing: Standing) -> Reason:
    behind = f"{_count(standing.limit_ahead, 'task')} before it" if standing.limit_ahead else "it is the next"
    start_us = (standing.limit_ahead + 1) * standing.limit_us
    until_ms = standing.limit_ms if standing.limit_ms and not standing.limit_ahead else 0
    return Reason(
        "limited",
        f"The rate limit {standing.limit} allows one start in {_span(standing.limit_us / 1000)}: {behind}; it may "
        f"start in about {_span(start_us / 1000)}.",
        until_ms,
        True,
    )


# -- its queue and its workers ------------------------------------------------------------------------


def _queue(standing: Standing) -> str:
    return standing.stream.partition(":")[2]


def _paused(of: Situation, standing: Standing) -> Iterator[Reason]:
    if standing.phase in phases.HELD:
        return
    task = "" if of.message is None or standing.skip_reason else of.message.task
    for pause in of.pauses:
        if not pause.holds(_queue(standing), task):
            continue
        what = f"Queue {pause.queue} is" if pause.queue else f"Task {task} is" if pause.task else "Everything is"
        why = f": {pause.reason}" if pause.reason else ""
        text = f"{what} paused since {_moment(pause.since_ms)} by {pause.actor or 'somebody'}{why}."
        # A call that was interrupted has paused a part of the shards.
        yield Reason("paused", text, 0, pause.is_whole)


def _unserved(of: Situation, standing: Standing) -> Iterator[Reason]:
    """Yield why no worker can take it. It could be claimed, so none of these is ``stops``."""
    if standing.phase in phases.HELD:
        return
    live = [one for one in of.workers if one.is_live]
    if not live:
        yield Reason("no_worker", "No live worker is registered.")
        return
    queue = _queue(standing)
    serving = [one for one in live if one.serves(queue)]
    if not serving:
        yield Reason("queue_unserved", f"No live worker serves queue {queue}; {len(live)} serve others.")
    elif of.message is not None and not standing.skip_reason and not _is_known(of.message.task, serving):
        yield Reason(
            "task_unknown",
            f"None of the {len(serving)} live workers that serve queue {queue} knows task {of.message.task}: it is "
            "delayed when it is claimed, in the end it becomes a dead letter.",
        )


def _is_known(task: str, workers: Sequence[WorkerInfo]) -> bool:
    wanted = digest(task)
    return any(wanted in str(one.about.get("tasks", "")).split() for one in workers)


def _queued(of: Situation, snapshot: Snapshot, standing: Standing) -> Iterator[Reason]:
    """Yield what comes before it among what can be claimed. Nothing of this is ``stops``."""
    if standing.phase not in (phases.QUEUED, phases.SUSPECT):
        if standing.phase == phases.DELAYED and standing.crashes >= _CRASHES_ALONE:
            yield Reason("runs_alone", "It will be claimed only by a child with nothing else in hand.")
        return
    if standing.phase == phases.SUSPECT:
        yield Reason(
            "runs_alone",
            "A process or a worker ended while it ran, or may have: it is claimed only by a child with nothing else in "
            "hand, in a worker that runs no other such task.",
        )
    queue = _queue(standing)
    serving = [one for one in of.workers if one.is_live and one.serves(queue)]
    better = [name for name in standing.better if any(one.serves(name.partition(":")[2]) for one in serving)]
    if better:
        names = ", ".join(f"{name.partition(':')[2]} (priority {name.partition(':')[0]})" for name in better[:5])
        yield Reason("behind_priority", f"Tasks of a better priority come first: {names}.")
    if standing.ahead:
        yield Reason("behind", f"{_count(standing.ahead, 'task')} of its queue and priority come first.")
    if serving and not better and not standing.ahead:
        children = sum(int(one.about.get("children") or 0) for one in serving)
        waited = _span(standing.now_ms - snapshot.enqueued_ms) if not snapshot.attempts else ""
        since = f" It was enqueued {waited} ago." if waited else ""
        who = f"one of {children} {'child' if children == 1 else 'children'} of {_count(len(serving), 'worker')}"
        yield Reason("next", f"It is next: {who} takes it when it is free.{since}")
    if snapshot.state == State.RETRY:
        yield Reason("retried", f"It has had {snapshot.attempts} attempts.{_last_report(snapshot)}")


def _clock(of: Situation, standing: Standing) -> Iterator[Reason]:
    ahead_ms = standing.now_ms - of.our_now_ms
    if of.our_now_ms and abs(ahead_ms) > CLOCK_MS:
        which = "ahead of" if ahead_ms > 0 else "behind"
        yield Reason(
            "clock", f"The store's clock is {_span(abs(ahead_ms))} {which} that of this machine; times are the store's."
        )


# -- texts ---------------------------------------------------------------------------------------------


def _last_report(snapshot: Snapshot) -> str:
    error = snapshot.reports[-1].get("error") if snapshot.reports else None
    if not isinstance(error, dict):
        return ""
    text = str(error.get("message") or "")
    return f" The last one ended with {error.get('type')}{': ' if text else ''}{text[:200]}"


def _count(number: int, noun: str) -> str:
    return f"{number}{' or more' if number >= MOST_AHEAD else ''} {noun}{'' if number == 1 else 's'}"


def _moment(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):  # a due time may be any integer
        return f"{ms} ms"


def _span(ms: float) -> str:
    ms = max(0.0, ms)
    for most, unit, name in ((1000.0, 1.0, "ms"), (120_000.0, 1000.0, "s"), (7_200_000.0, 60_000.0, "min")):
        if ms < most:
            return f"{ms / unit:.3g} {name}" if name != "min" else f"{ms / unit:.0f} {name}"
    return f"{ms / 3_600_000:.1f} h"
