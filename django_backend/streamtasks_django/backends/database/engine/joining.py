"""Enqueue plain messages in the caller's transaction: what `quick` does, on databases that are not PostgreSQL.

Other changes are steps, which exclude each other by a lock. It cannot be held until somebody commits, and need not be:
a plain message is only inserted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from streamtasks.stores.memory import enqueue
from streamtasks.stores.types import NewMessage

from .notify import notify
from .session import Session
from .shard import SqlShard

__all__ = ["enqueue_inside", "is_plain"]


def is_plain(message: NewMessage) -> bool:
    """Whether nothing has to be known of other messages to enqueue this one."""
    return not (message.limit or message.after)


def enqueue_inside(session: Session, shard: SqlShard, messages: Sequence[NewMessage]) -> list[bool]:
    """Insert plain messages in the transaction of the caller; return of each whether it is new.

    One whose id is known, or was revoked before it came, is left alone: what to do with it only a step can know.
    """
    ids = [message.id for message in messages]
    live: Any = shard.live
    records: Any = shard.records
    with transaction.atomic(using=session.using):
        live.load(ids)
        records.load(ids)
        new = [one.id not in live and shard.record(one.id) is None and enqueue.accept(shard, one) for one in messages]
        shard.write()
        mine = [one.id for one, is_new in zip(messages, new, strict=True) if is_new]
        theirs = _enqueued_by_others(session, shard, mine)
        notify(session.connection, session.table, shard.pushes)
    return [is_new and one.id not in theirs for one, is_new in zip(messages, new, strict=True)]


def _enqueued_by_others(session: Session, shard: SqlShard, ids: Sequence[str]) -> set[str]:
    """Return which messages somebody else has inserted, or has finished, since this step looked for them."""
    live: Any = shard.live
    rows = session.tables.message.objects.using(session.using)
    records = session.tables.record.objects.using(session.using)
    finished = set(records.filter(id__in=ids).values_list("id", flat=True))
    if finished:
        rows.filter(id__in=finished).delete()
    places = dict(rows.filter(id__in=ids).values_list("id", "place"))
    return {one for one in ids if one in finished or places.get(one) != int(live[one].entry or 0)}
