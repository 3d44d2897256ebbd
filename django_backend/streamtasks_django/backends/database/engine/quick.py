"""What PostgreSQL does in one statement each: enqueue, claim and settle plain messages, many at a time.

Everything that has to do with limits, workflows, links, revocations or crashes takes the common way (`Steps.change`).
Those steps exclude each other and these by an advisory lock, which quick claims and settles share.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from django.db import transaction

from streamtasks.protocol.callback_message import is_callback
from streamtasks.protocol.keys import stream_name
from streamtasks.settings import StoreSettings
from streamtasks.stores.memory.hand_back import REMEMBERED_MS
from streamtasks.stores.memory.state import Record
from streamtasks.stores.rules.task_names import pausable_task
from streamtasks.stores.types import Claimed, ClaimRequest, Filter, NewMessage, Outcome

from .notify import CONTROL, ENDS, WAKE, channel_name
from .session import Session
from .shard import Finished
from .steps import Receiver
from .take import MOST_BYTES

__all__ = ["QuickSettle", "claim_quickly", "enqueue_quickly", "is_quick", "may_settle_quickly", "settle_quickly"]

CLOCK_MS: Final = "(extract(epoch from clock_timestamp()) * 1000)::bigint"
CLOCK_US: Final = "(extract(epoch from clock_timestamp()) * 1000000)::bigint"

_ENQUEUE: Final = """
INSERT INTO {message} (id, priority, queue, task, phase, place, due_ms, token, attempts, crashes, lost, first_ms,
    started_ms, settled, limit_name, limit_us, limit_burst, wait_rank, wait_number, suspect, expires_ms, skip_reason,
    "after", after_due_ms, after_delay_ms, "then", hears, enqueued_ms, envelope, history, progress)
SELECT v.id, v.priority, v.queue, v.task, CASE WHEN v.due_ms > t.us / 1000 OR v.delay_ms > 0 THEN 'D' ELSE 'Q' END,
    t.us + v.n,
    CASE WHEN v.delay_ms > 0 THEN t.us / 1000 + v.delay_ms WHEN v.due_ms > t.us / 1000 THEN v.due_ms ELSE 0 END,
    '', 0, 0, 0, 0, 0, '', '', 0, 0, 0, 0, false,
    CASE WHEN v.expires_in_ms > 0 THEN t.us / 1000 + v.expires_in_ms ELSE v.expires_ms END,
    '', '', 0, 0, '', v.hears, t.us / 1000, v.envelope, '', ''
FROM (VALUES {values})
        AS v (n, id, priority, queue, task, due_ms, delay_ms, expires_ms, expires_in_ms, hears, envelope),
    (SELECT {clock_us} AS us) AS t
WHERE NOT EXISTS (SELECT 1 FROM {record} r WHERE r.id = v.id)
ON CONFLICT (id) DO NOTHING RETURNING id"""

_ENQUEUE_ONE: Final = """
INSERT INTO {message} (id, priority, queue, task, phase, place, due_ms, token, attempts, crashes, lost, first_ms,
    started_ms, settled, limit_name, limit_us, limit_burst, wait_rank, wait_number, suspect, expires_ms, skip_reason,
    "after", after_due_ms, after_delay_ms, "then", hears, enqueued_ms, envelope, history, progress)
SELECT %s, %s, %s, %s, 'Q', {clock_us}, 0, '', 0, 0, 0, 0, 0, '', '', 0, 0, 0, 0, false,
    CASE WHEN %s > 0 THEN {clock_ms} + %s ELSE %s END, '', '', 0, 0, '', %s, {clock_ms}, %s, '', ''
WHERE NOT EXISTS (SELECT 1 FROM {record} WHERE id = %s)
ON CONFLICT (id) DO NOTHING RETURNING pg_notify(%s, '');
DELETE FROM {message} WHERE id = %s AND EXISTS (SELECT 1 FROM {record} WHERE id = %s)"""
"""What is enqueued most: one message without a due time. The second statement does what `_KNOWN` does."""

_KNOWN: Final = """
DELETE FROM {message} m USING {record} r WHERE m.id = r.id AND m.id = ANY(%s) RETURNING m.id"""
"""Messages that finished between the look for their records and the insertion."""

_CLAIM: Final = """
WITH pauses AS MATERIALIZED (SELECT name FROM {state} WHERE kind = 'pause'),
picked AS (
    SELECT id, priority, place, octet_length(envelope) AS size,
        phase = 'Q' AND limit_name = '' AND skip_reason = '' AS plain
    FROM {message} WHERE phase IN ('Q', 'S'){served} AND NOT EXISTS (SELECT 1 FROM pauses WHERE name = 'pause:*')
        AND CASE WHEN queue = ANY (ARRAY(SELECT substr(name, 13) FROM pauses WHERE starts_with(name, 'pause:queue:')))
            THEN false
            WHEN task = ANY (ARRAY(SELECT substr(name, 12) FROM pauses WHERE starts_with(name, 'pause:task:')))
            THEN skip_reason <> '' ELSE true END
    ORDER BY priority DESC, place LIMIT %s FOR UPDATE SKIP LOCKED),
fitting AS (
    SELECT id, (SELECT bool_and(plain) FROM picked) AS all_plain,
        sum(size) OVER before AS total, row_number() OVER before AS number
    FROM picked WINDOW before AS (ORDER BY priority DESC, place)),
turn AS (
    INSERT INTO {state} AS s (name, kind, number, expires_ms, data)
    SELECT %s, 'claim', %s, {clock_ms} + %s, convert_to(%s || ({clock_ms} + %s)::text || ']}}', 'UTF8')
    WHERE (SELECT all_plain FROM fitting LIMIT 1)
    ON CONFLICT (name) DO UPDATE
        SET number = EXCLUDED.number, expires_ms = EXCLUDED.expires_ms, data = EXCLUDED.data
        WHERE s.number < EXCLUDED.number RETURNING 1),
taken AS (
    UPDATE {message} m SET phase = %s, token = %s, attempts = m.attempts + 1,
        started_ms = CASE WHEN %s THEN {clock_ms} ELSE m.started_ms END,
        first_ms = CASE WHEN %s AND m.first_ms = 0 THEN {clock_ms} ELSE m.first_ms END
    FROM fitting f WHERE m.id = f.id AND (f.total <= %s OR f.number = 1) AND EXISTS (SELECT 1 FROM turn)
    RETURNING m.id, m.priority, m.queue, m.place, m.attempts, m.crashes, m.lost, m.first_ms, m.enqueued_ms,
        m.envelope),
lease AS (
    INSERT INTO {state} (name, kind, number, expires_ms, data)
    SELECT %s, 'lease', 0, 0, convert_to(({clock_ms} + %s)::text, 'UTF8') WHERE EXISTS (SELECT 1 FROM taken)
    ON CONFLICT (name) DO UPDATE SET data = EXCLUDED.data)
SELECT {clock_ms}, EXISTS (SELECT 1 FROM picked) OR EXISTS (SELECT 1 FROM {state} WHERE name = %s AND number >= %s),
    t.* FROM (SELECT 1) AS one LEFT JOIN taken t ON true
ORDER BY t.priority DESC, t.place"""
"""CASE hides from the planner that nothing may be left: it would expect few rows, and sort all that waits."""

_SETTLE: Final = """
WITH given AS (SELECT * FROM (VALUES {values})
        AS v (id, token, state, result, keep_ms, started_ms, first_ms, attempts)),
gone AS (
    DELETE FROM {message} m USING given g
    WHERE m.id = g.id AND m.token = g.token AND m.phase IN ('C', 'R') AND m."then" = ''
        AND NOT EXISTS (SELECT 1 FROM {message} c WHERE c."after" = m.id AND c.phase = 'B')
    RETURNING m.id, m.enqueued_ms, m.envelope, m.history),
kept AS (
    INSERT INTO {record} (id, state, token, finished_ms, expires_ms, first_ms, started_ms, attempts, deleted,
        enqueued_ms, envelope, result, history)
    SELECT g.id, g.state, g.token, t.ms, t.ms + g.keep_ms, g.first_ms, g.started_ms, g.attempts, false,
        gone.enqueued_ms, gone.envelope, g.result, gone.history
    FROM gone JOIN given g ON g.id = gone.id, (SELECT {clock_ms} AS ms) AS t
    ON CONFLICT (id) DO NOTHING
    RETURNING id, state, token, finished_ms, expires_ms, first_ms, started_ms, attempts),
counted AS (
    INSERT INTO {state} AS s (name, kind, number, expires_ms, data)
    SELECT 'total:' || word || ':' || %s, 'total', n, 0, '' FROM (
        SELECT state AS word, count(*) AS n FROM kept GROUP BY state
        UNION ALL SELECT 'ms', sum(greatest(0, finished_ms - started_ms)) FROM kept WHERE started_ms > 0
            HAVING count(*) > 0) AS sums
    ON CONFLICT (name) DO UPDATE SET number = s.number + EXCLUDED.number)
SELECT kept.*{contents} FROM kept{joined}"""

_RELEASE: Final = """
DELETE FROM {state} s WHERE s.name = ANY(%s)
    AND NOT EXISTS (SELECT 1 FROM {message} m WHERE m.token = substr(s.name, 7) AND m.token <> '')"""

type Statement = tuple[str, Sequence[Any]]


def _run(session: Session, statements: Sequence[Statement]) -> list[list[Any]]:
    """Run statements in one transaction; return the rows of each. In one round trip where the driver allows it."""
    connection = session.connection
    if not _joins(connection):
        with transaction.atomic(using=session.using), connection.cursor() as cursor:
            return [_rows(cursor, sql, parameters) for sql, parameters in statements]
    found = []
    with connection.cursor() as cursor:
        cursor.execute(";".join(sql for sql, _ in statements), [one for _, some in statements for one in some])
        while True:
            found.append(list(cursor.fetchall()) if cursor.description else [])
            if not cursor.nextset():
                return found


def _rows(cursor: Any, sql: str, parameters: Sequence[Any]) -> list[Any]:
    cursor.execute(sql, parameters)
    return list(cursor.fetchall()) if cursor.description else []


def _joins(connection: Any) -> bool:
    """Whether the driver sends several statements with parameters at once: psycopg 3 with client-side binding."""
    known: bool | None = getattr(connection, "_is_joined", None)
    if known is not None:
        return known
    options = connection.settings_dict.get("OPTIONS") or {}
    is_joined = connection.Database.__name__ == "psycopg" and not options.get("server_side_binding")
    connection._is_joined = is_joined
    return is_joined


def _sql(session: Session, text: str, **parts: str) -> str:
    return _filled(text, session.tables.names, **parts)


@lru_cache(64)
def _filled(text: str, names: tuple[str, ...], **parts: str) -> str:
    message, record, state = (f'"{name}"' for name in names)
    return text.format(message=message, record=record, state=state, clock_ms=CLOCK_MS, clock_us=CLOCK_US, **parts)


def _lock(session: Session, *, flushes: bool = True) -> Statement:
    """Lock out steps; ``flushes``: the commit waits until it is on the disk.

    A claim need not: if the server forgets it in a crash, its token is gone as well, and the message is claimed again.
    """
    unflushed = "" if flushes else ", set_config('synchronous_commit', 'off', true)"
    return f"SELECT pg_advisory_xact_lock_shared(%s){unflushed}", [session.lock_key]


def is_quick(session: Session, messages: Sequence[NewMessage]) -> bool:
    """Whether messages can be enqueued by `enqueue_quickly`."""
    return (
        session.vendor == "postgresql"
        and not session.settings.events_kept
        and not any(message.limit or message.after for message in messages)
    )


def enqueue_quickly(session: Session, messages: Sequence[NewMessage]) -> list[bool | None]:
    """Enqueue plain messages; return of each whether it is new. None: something is known of it, look closer."""
    if len(messages) == 1 and not messages[0].delay_ms and messages[0].due_ms is None and _joins(session.connection):
        return [_enqueue_one(session, messages[0])]
    values: list[Any] = []
    due = [m for m in messages if m.delay_ms or (m.due_ms is not None and m.due_ms > time.time() * 1000 - 1000)]
    for number, m in enumerate(messages):
        values += (number, m.id, m.priority, m.queue, pausable_task(m.envelope))
        values += (m.due_ms or 0, 0 if m.due_ms is not None else m.delay_ms or 0)
        values += (m.expires_ms, m.expires_in_ms, m.hears, m.envelope)
    sql = _sql(session, _ENQUEUE, values=", ".join(["(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"] * len(messages)))
    ids = [message.id for message in messages]
    notes: list[Statement] = []
    if due:
        earliest_ms = min(m.due_ms or round(time.time() * 1000) + (m.delay_ms or 0) for m in due)
        notes.append(("SELECT pg_notify(%s, %s)", (channel_name(session.table, CONTROL), f"due {earliest_ms}")))
    if len(due) < len(messages):
        notes.append(("SELECT pg_notify(%s, '')", (channel_name(session.table, WAKE),)))
    new, known, *_ = _run(session, [(sql, values), (_sql(session, _KNOWN), [ids]), *notes])
    accepted = {row[0] for row in new} - {row[0] for row in known}
    found: list[bool | None] = []
    for task_id in ids:
        found.append(True if task_id in accepted else None)
        accepted.discard(task_id)
    return found


def _enqueue_one(session: Session, message: NewMessage) -> bool | None:
    m = message
    expires = (m.expires_in_ms, m.expires_in_ms, m.expires_ms)
    values = (m.id, m.priority, m.queue, pausable_task(m.envelope), *expires, m.hears, m.envelope, m.id)
    with session.connection.cursor() as cursor:
        cursor.execute(_sql(session, _ENQUEUE_ONE), (*values, channel_name(session.table, WAKE), m.id, m.id))
        is_inserted = cursor.rowcount == 1
        cursor.nextset()
        return True if is_inserted and cursor.rowcount == 0 else None


class QuickSettle(NamedTuple):
    """Outcomes to settle: the ``consumer`` that settles them, and the claims that are ``released`` by it."""

    outcomes: Sequence[Outcome]
    consumer: str
    released: Sequence[str]


def may_settle_quickly(outcome: Outcome) -> bool:
    """Whether an outcome ends its message, and nothing follows that is not in its row."""
    return outcome.state not in {"RETRY", "DEAD", "CALLED"} and not outcome.follow and not is_callback(outcome.id)


def settle_quickly(
    session: Session, work: QuickSettle, receiver: Receiver | None, *, one_by_one: bool = False
) -> set[str]:
    """Settle outcomes of plain messages; return the ids of those that are settled now.

    The receiver is called in the transaction.
    """
    once = {outcome.id: outcome for outcome in reversed(work.outcomes)}
    values: list[Any] = []
    for o in once.values():
        values += (o.id, o.token, o.state, o.result, o.keep_ms, o.started_ms, o.first_started_ms or o.started_ms)
        values.append(o.attempt)
    contents, joined = "", ""
    if receiver is not None:
        contents = ", gone.enqueued_ms, gone.envelope, given.result, gone.history"
        joined = " JOIN gone ON gone.id = kept.id JOIN given ON given.id = kept.id"
    sql = _sql(
        session,
        _SETTLE,
        values=", ".join(["(%s, %s, %s, %s, %s, %s, %s, %s)"] * len(once)),
        contents=contents,
        joined=joined,
    )
    statements: list[Statement] = [_lock(session), (sql, [*values, work.consumer])]
    if work.released:
        names = [f"lease:{token}" for token in work.released]
        statements.append((_sql(session, _RELEASE), [names]))
    ends = "\n".join(once)
    if len(ends) < 7000:
        statements.append(("SELECT pg_notify(%s, %s)", (channel_name(session.table, ENDS), ends)))
    else:
        statements += [("SELECT pg_notify(%s, %s)", (channel_name(session.table, ENDS), one)) for one in once]
    if receiver is None:
        return {row[0] for row in _run(session, statements)[1]}
    with transaction.atomic(using=session.using):
        rows = _run(session, statements)[1]
        finished = [Finished(row[0], _record(row)) for row in rows]
        if finished:
            receiver(session.using, finished, one_by_one)
    return {one.id for one in finished}


def _record(row: Sequence[Any]) -> Record:
    _, state, token, finished_ms, expires_ms, first_ms, started_ms, attempts, enqueued_ms, envelope, result, history = (
        row
    )
    body = b"%d %b" % (enqueued_ms, bytes(envelope))
    return Record(
        state, token, finished_ms, expires_ms, first_ms, started_ms, attempts, body, bytes(result), bytes(history)
    )


def claim_quickly(
    session: Session, settings: StoreSettings, consumer: str, request: ClaimRequest, queues: Filter
) -> tuple[int, list[Claimed]] | None:
    """Claim plain messages; return the time, ms, and the messages.

    None: what is to be claimed is not plain, or this sequence has claimed before and its answer was lost.
    """
    token = f"{consumer}#{request.sequence}"
    served, names = "", []
    if queues.mode != "all":
        served = f" AND {'NOT ' if queues.mode == 'except' else ''}queue = ANY(%s)"
        names = [list(queues.queues)]
    starts = request.most == 1
    parameters = [
        *names,
        request.most,
        f"claim:{consumer}",
        request.sequence,
        REMEMBERED_MS,
        f'{{"t":[{request.sequence},"ids",',
        REMEMBERED_MS,
        "R" if starts else "C",
        token,
        starts,
        starts,
        MOST_BYTES,
        f"lease:{token}",
        settings.lease_ms,
        f"claim:{consumer}",
        request.sequence,
    ]
    _, rows = _run(session, [_lock(session, flushes=False), (_sql(session, _CLAIM, served=served), parameters)])
    now_ms, is_open, *first = rows[0]
    if first[0] is None:
        return None if is_open else (now_ms, [])
    return now_ms, [_claimed(row[2:], token) for row in rows]


def _claimed(row: Sequence[Any], token: str) -> Claimed:
    task_id, priority, queue, place, attempts, crashes, lost, first_ms, enqueued_ms, envelope = row
    body = b"%d %b" % (enqueued_ms, bytes(envelope))
    name = stream_name(queue, priority)
    return Claimed(task_id, token, name, str(place), attempts, attempts - 1 - crashes - lost, first_ms, body)
