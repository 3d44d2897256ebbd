"""Read lists and counts, and delete what is old."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Count, F, Min, Q
from django.db.models.functions import Substr

from streamtasks.exceptions import ServerNotSupported
from streamtasks.protocol.state import DeadLetter
from streamtasks.stores.inspection_types import LATEST, MOST_AHEAD, Active, Event, Events, Standing, Statistics
from streamtasks.stores.measure_types import Measures, QueueMeasure
from streamtasks.stores.memory.measures import limits
from streamtasks.stores.memory.standing import MOST_BETTER, standing_of
from streamtasks.stores.rules import phases
from streamtasks.stores.rules.attempts import KNOWN_MS
from streamtasks.stores.rules.fan_in import SUCCEEDED
from streamtasks.stores.steering_types import MOST_AUDITED

from .codec import decode
from .fitness import obstacle
from .indexes import paused
from .message_rows import body_of
from .session import Session
from .shard import SqlShard

__all__ = [
    "active",
    "check",
    "dead_letters",
    "delete_expired",
    "delete_finished",
    "events",
    "expire_results",
    "in_queue",
    "measures",
    "standing",
    "statistics",
    "sweep",
]

WORKFLOWS: Final = 20
"""Workflows that one step deletes at most."""

STATES: Final = 500
"""Other states that one step deletes at most."""

_EXPIRING: Final = ("claim", "request", "unstarted", "bulk_counts", "bulk_part", "discarded")

RUNNING: Final = Q(phase=phases.RUNNING) | Q(phase=phases.REVOKED, started_ms__gt=0)


def _messages(shard: SqlShard) -> Any:
    return shard.names.message.objects.using(shard.using)


def _records(shard: SqlShard) -> Any:
    return shard.names.record.objects.using(shard.using)


def _states(shard: SqlShard) -> Any:
    return shard.names.state.objects.using(shard.using)


def standing(shard: SqlShard, task_id: str) -> Standing | None:
    """Return what decides when a message is claimed; None: it is not unfinished."""
    live: Any = shard.live
    live.load([task_id])
    message = live.get(task_id)
    if message is None:
        return None
    priority, before = int(message.name.partition(":")[0]), 0
    ready = Q(phase__in=[phases.QUEUED, phases.SUSPECT])
    if message.phase in (phases.QUEUED, phases.SUSPECT):
        rows = _messages(shard).filter(ready, priority=priority, queue=message.name.partition(":")[2])
        before = rows.filter(place__lt=int(message.entry))[:MOST_AHEAD].count()
    names = _messages(shard).filter(ready, priority__gt=priority).values_list("priority", "queue").distinct()
    better = [f"{one}:{queue}" for one, queue in names.order_by("-priority", "queue")[:MOST_BETTER]]
    return standing_of(shard, message, before, better)


def active(shard: SqlShard, limit: int) -> list[Active]:
    """Return running attempts, the longest first."""
    rows = _messages(shard).filter(RUNNING).order_by("started_ms", "id")[:limit]
    return [
        Active(row.id, row.started_ms, row.token.rpartition("#")[0], body_of(row.enqueued_ms, row.envelope))
        for row in rows
    ]


def statistics(shard: SqlShard) -> Statistics:
    """Return counts: of what is unfinished, and since the tables were made."""
    now = _messages(shard).aggregate(
        all=Count("id"),
        running=Count("id", filter=RUNNING),
        delayed=Count("id", filter=Q(phase=phases.DELAYED)),
    )
    words: dict[str, int] = {}
    for name, number in _states(shard).filter(kind="total").values_list("name", "number"):
        word = name.split(":")[1]
        words[word] = words.get(word, 0) + number
    run_ms = words.pop("ms", 0)
    return Statistics(now["all"], now["running"], now["delayed"], words, run_ms)


def measures(shard: SqlShard) -> Measures:
    """Return how much lies in the store, and since when. Queues that nothing is in are not known.

    All messages are counted, in one pass: a count that is kept would make the tasks of a queue wait for each other.
    """
    waits, held = Q(phase__in=[phases.QUEUED, phases.SUSPECT]), Q(phase__in=list(phases.HELD))
    now_us = shard.clock.now_us()
    delayed, limited = Q(phase=phases.DELAYED), Q(phase=phases.LIMITED)
    of_queues = _messages(shard).values("queue").order_by("queue")
    rows = of_queues.annotate(
        all=Count("id"),
        running=Count("id", filter=RUNNING),
        ready=Count("id", filter=waits),
        held=Count("id", filter=held),
        first=Min("place", filter=waits & ~paused(_states(shard))),  # for others a worker could do nothing
        delayed=Count("id", filter=delayed),
        limited=Count("id", filter=limited),
    )
    counted = list(rows)
    found = [
        QueueMeasure(
            row["queue"],
            row["ready"],
            row["held"],
            max(1, (now_us - row["first"]) // 1000) if row["first"] else 0,
            delayed=row["delayed"],
            limited=row["limited"],
        )
        for row in counted
    ]
    now_ms = shard.now_ms()
    due_ms = min((one.next_ms for one in shard.schedules.values() if one.next_ms and not one.paused), default=now_ms)
    return Measures(
        [one for one in found if one.ready or one.claimed or one.delayed or one.limited],
        sum(row["all"] for row in counted),
        sum(row["running"] for row in counted),
        sum(one.delayed for one in found),
        sum(one.limited for one in found),
        _states(shard).filter(kind="dead").count(),
        max(0, now_ms - due_ms),
        [],
        now_ms,
        limits([shard]),
        _operations(shard),
    )


def _operations(shard: SqlShard) -> dict[tuple[str, str], int]:
    found = {}
    for name, number in _states(shard).filter(kind="audited").values_list("name", "number"):
        outcome, _, operation = name.removeprefix("audited:").partition(" ")
        found[operation, outcome] = number
    return found


def events(shard: SqlShard, after: str, limit: int) -> Events:
    """Return events after a cursor, oldest first."""
    if after == LATEST:
        latest = _states(shard).filter(kind="event").order_by("-name").values_list("name", flat=True).first()
        return Events([], latest or "")
    rows = _states(shard).filter(kind="event", name__gt=after or "event:").order_by("name")[:limit]
    found = list(rows.values_list("name", "data"))
    return Events([Event(*decode(bytes(data))) for _, data in found], found[-1][0] if found else after)


def dead_letters(shard: SqlShard, limit: int, before: str) -> list[DeadLetter]:
    """Return dead letters, newest first."""
    rows = _states(shard).filter(kind="dead")
    if before:
        rows = rows.filter(number__lt=int(before.rpartition("-")[2]))
    return [decode(bytes(data)) for data in rows.order_by("-number").values_list("data", flat=True)[:limit]]


def in_queue(shard: SqlShard, queue: str) -> tuple[int, int]:
    """Return how many messages are in a queue, and how many of them somebody holds."""
    held = list(phases.HELD)
    rows = _messages(shard).filter(queue=queue, phase__in=[phases.QUEUED, phases.SUSPECT, *held])
    counts = rows.aggregate(all=Count("id"), held=Count("id", filter=Q(phase__in=held)))
    return counts["all"], counts["held"]


def delete_finished(shard: SqlShard, before_ms: int, most: int) -> int:
    """Delete some records of messages that finished before a time; return how many. Ids stay known for 15 minutes."""
    rows = _records(shard).filter(finished_ms__lt=before_ms, deleted=False).exclude(state="")
    return _delete(shard, rows, most)


def expire_results(shard: SqlShard, success: bool, most: int) -> int:
    """Delete some results that expire before their ids may be forgotten; return how many."""
    settings = shard.settings
    expires_s = settings.result_expires_s if success else settings.failure_expires_s
    rows = _records(shard).filter(finished_ms__lte=shard.now_ms() - round(expires_s * 1000), deleted=False)
    states = list(SUCCEEDED)
    return _delete(shard, rows.filter(state__in=states) if success else rows.exclude(state__in=[*states, ""]), most)


def delete_expired(shard: SqlShard, most: int) -> int:
    """Delete some records whose time is over, with their ids; return how many."""
    old = _records(shard).filter(expires_ms__lte=shard.now_ms()).order_by("expires_ms")
    ids = list(old.values_list("id", flat=True)[:most])
    if ids:
        _records(shard).filter(id__in=ids).delete()
    return len(ids)


def _delete(shard: SqlShard, rows: Any, most: int) -> int:
    ids = list(rows.order_by("finished_ms").values_list("id", flat=True)[:most])
    if not ids:
        return 0
    some, known_ms = _records(shard).filter(id__in=ids), shard.now_ms() - KNOWN_MS
    some.filter(finished_ms__gt=known_ms).update(
        deleted=True, expires_ms=F("finished_ms") + KNOWN_MS, envelope=b"", enqueued_ms=0, result=b"", history=b""
    )
    some.filter(finished_ms__lte=known_ms).delete()
    return len(ids)


def sweep(shard: SqlShard) -> bool:
    """Delete what has expired: some workflows with their results, old events and claims; return whether there is more.

    Records are deleted by `delete_expired`, outside of steps, which others wait for.
    """
    now_ms, settings, states = shard.now_ms(), shard.settings, _states(shard)
    over = states.filter(kind="workflow", expires_ms__gt=0, expires_ms__lte=now_ms)
    names = list(over.values_list("name", flat=True)[:WORKFLOWS])
    for name in names:
        workflow_id = name.removeprefix("workflow:")
        states.filter(kind="field", name__startswith=f"field:{workflow_id}/").delete()
        states.filter(name=name).delete()
    expired = states.filter(kind__in=_EXPIRING, expires_ms__gt=0, expires_ms__lte=now_ms)
    old = list(expired.values_list("name", flat=True)[:STATES])
    states.filter(name__in=old).delete()
    _keep_newest(states.filter(kind="event"), "name", settings.max_events)
    _keep_newest(states.filter(kind="audit"), "number", MOST_AUDITED)
    _fold_totals(shard)
    return len(names) == WORKFLOWS or len(old) == STATES


def _keep_newest(rows: Any, order: str, most: int) -> None:
    oldest = rows.order_by(f"-{order}").values_list(order, flat=True)[most : most + 1]
    for bound in list(oldest):
        rows.filter(**{f"{order}__lte": bound}).delete()


def _fold_totals(shard: SqlShard) -> None:
    """Add the counts of single consumers to those of all."""
    rows = _states(shard).filter(kind="total").annotate(word=Substr("name", 7))
    for name, number, word in list(rows.values_list("name", "number", "word")):
        outcome, _, consumer = word.partition(":")
        if consumer:
            shard.totals[outcome] += number
            _states(shard).filter(name=name).delete()


def check(session: Session) -> list[str]:
    """See `Store.check`.

    Raises:
        ServerNotSupported: the database cannot hold the tasks; see `fitness`.
    """
    if text := obstacle(session):
        raise ServerNotSupported(text)
    if session.vendor == "oracle":
        raise ServerNotSupported("DatabaseBackend runs on PostgreSQL, MySQL, MariaDB and SQLite, not on Oracle.")
    if session.vendor == "sqlite":
        text = "is SQLite: workers poll it, and one of them writes at a time; use PostgreSQL in production"
        return [f"the database {session.alias!r} {text}"]
    if session.vendor == "mysql":
        text = "is MySQL or MariaDB: nothing wakes idle workers, they ask five times a second; PostgreSQL tells them"
        return [f"the database {session.alias!r} {text}"]
    return []
