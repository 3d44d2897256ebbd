"""Relay what is in the outbox of one alias to its store."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db import Error, connections, transaction
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from streamtasks.exceptions import DecodeError, StoreError
from streamtasks.protocol.shards import tag_of
from streamtasks.stores.types import NewMessage
from streamtasks.stores.workflow_types import NewWorkflow

from ..enqueue.outbox import CHANNEL
from ..enqueue.store_alias import StoreAlias
from ..outbox.content import decode_message, decode_workflow

if TYPE_CHECKING:
    from ..outbox.models import OutboxEntry

__all__ = ["OutboxRelay"]

logger = logging.getLogger("streamtasks.worker")

MOST: Final = 100
"""How many entries are relayed in one call."""

LISTENING_S: Final = 1.0
POLL_S: Final = 0.25
"""How often it is looked for entries, seconds: while the database tells of new ones, and where it does not."""


class _Sent(NamedTuple):
    """What became of a page of entries: those that are in the store, and why others are not."""

    done: list[int]
    refused: dict[int, str]
    error: StoreError | None


class OutboxRelay:
    """Move entries to the store; see `streamtasks.application.Relay`. All calls come from one thread.

    An entry is deleted after the store has taken it. Relaying it again, because a worker was killed in between or
    because two relay at once, changes nothing: the store knows the id.
    """

    def __init__(self, backend: StoreAlias) -> None:
        assert backend.outbox_database is not None
        self._backend = backend
        self._database = backend.outbox_database
        self._heard = False
        self._listening: Any = None  # the driver's connection that listens

    def run(self) -> float:
        """Relay all entries; return seconds until it is to be called again.

        Raises:
            StoreError: the store, or the database, could not take or give some of them.
        """
        connection = connections[self._database]
        try:
            self._listen()
            self._heard = True
            while self._heard:
                self._heard = False
                self._relay_all()
                self._hear()
        except Error as error:
            connection.close()
            raise self._explained(error) from error
        return LISTENING_S if self._listening is not None else POLL_S

    def fileno(self) -> int | None:
        """Return the descriptor that is readable when there are new entries; None: there is none."""
        return None if self._listening is None else self._listening.fileno()

    # -- entries -------------------------------------------------------------------------------------

    def _relay_all(self) -> None:
        """Relay page after page; entries that stay do not stop those behind them."""
        last, error = 0, None
        while True:
            page, sent = self._relay_page(last)
            error = error or sent.error
            if len(page) < MOST:
                break
            last = page[-1].pk
        if error is not None:
            raise error

    def _relay_page(self, last: int) -> tuple[Sequence[OutboxEntry], _Sent]:
        from ..outbox.models import OutboxEntry

        features = connections[self._database].features
        entries = OutboxEntry.objects.using(self._database)
        query = entries.filter(backend=self._backend.alias, error="", pk__gt=last).order_by("pk")
        query = query.annotate(age=ExpressionWrapper(Now() - F("created_at"), output_field=DurationField()))
        # Another relay that is at work has the rows that it reads for itself. Where rows cannot be locked, both send
        # the same, and a transaction would only keep writers out.
        locks = features.has_select_for_update
        with transaction.atomic(using=self._database) if locks else nullcontext():
            if locks:
                query = query.select_for_update(skip_locked=features.has_select_for_update_skip_locked, of=())
            page = list(query[:MOST])
            if not page:
                return page, _Sent([], {}, None)
            sent = self._send(page)
            if sent.done:
                entries.filter(pk__in=sent.done).delete()
            for key, reason in sent.refused.items():
                logger.error("%s: the outbox has an entry that cannot be relayed: %s", self._backend.alias, reason)
                entries.filter(pk=key).update(error=reason)
            return page, sent

    def _send(self, page: Sequence[OutboxEntry]) -> _Sent:
        sent = _Sent([], {}, None)
        messages: list[tuple[int, NewMessage]] = []
        for entry in page:
            try:
                found = decode_workflow(entry.content) if entry.is_workflow else decode_message(entry.content)
            except DecodeError as error:
                sent.refused[entry.pk] = f"{entry.task_id}: {error}"
                continue
            if isinstance(found, NewMessage):
                messages.append((entry.pk, _on_time(found, entry)))
            else:
                sent = self._flush(messages, sent)
                messages = []
                sent = self._try(lambda found=found: self._start(found), [entry.pk], sent)
        return self._flush(messages, sent)

    def _start(self, new: NewWorkflow) -> None:
        self._backend.stores.plain.start_workflow(new, 0)

    def _flush(self, messages: Sequence[tuple[int, NewMessage]], sent: _Sent) -> _Sent:
        """Send messages in one call; of a Cluster with a master that is away, those of the others."""
        messages = self._without_early(messages)
        if not messages:
            return sent
        store, tags = self._backend.stores.plain, self._backend.store_settings.tags
        by_tag: dict[str, list[tuple[int, NewMessage]]] = {}
        for key, message in messages:
            by_tag.setdefault(tag_of(message.id, tags), []).append((key, message))
        whole = self._try(lambda: store.enqueue([one for _, one in messages], 0), [key for key, _ in messages], sent)
        if whole.error is sent.error or len(by_tag) == 1:
            return whole
        for some in by_tag.values():
            keys, mine = [key for key, _ in some], [one for _, one in some]
            sent = self._try(lambda mine=mine: store.enqueue(mine, 0), keys, sent)
        return sent

    def _try(self, call: Any, keys: Sequence[int], sent: _Sent) -> _Sent:
        try:
            call()
        except StoreError as error:
            return sent._replace(error=sent.error or error)
        return sent._replace(done=[*sent.done, *keys])

    def _without_early(self, messages: Sequence[tuple[int, NewMessage]]) -> Sequence[tuple[int, NewMessage]]:
        """Return the messages without those that follow one that another relay has not sent yet."""
        mine = {message.id for _, message in messages}
        parents = {message.after for _, message in messages if message.after} - mine
        if not parents:
            return messages
        from ..outbox.models import OutboxEntry

        query = OutboxEntry.objects.using(self._database).filter(backend=self._backend.alias, task_id__in=parents)
        waiting = set(query.values_list("task_id", flat=True))
        return [(key, message) for key, message in messages if message.after not in waiting]

    # -- hearing of new ones ----------------------------------------------------------------------------

    def _listen(self) -> None:
        connection = connections[self._database]
        if connection.vendor != "postgresql" or not hasattr(connection, "Database"):
            return
        connection.ensure_connection()
        raw: Any = connection.connection
        if raw is self._listening:
            return
        self._listening = None
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        if hasattr(raw, "add_notify_handler"):  # psycopg 3
            raw.add_notify_handler(self._notified)
        self._listening = raw

    def _notified(self, _: Any) -> None:
        self._heard = True

    def _hear(self) -> None:
        """Take in what has been heard, so that the descriptor is not readable any more."""
        raw = self._listening
        if raw is None:
            return
        if hasattr(raw, "add_notify_handler"):
            with connections[self._database].cursor() as cursor:
                cursor.execute("SELECT 1")  # psycopg calls the handler of what has come before the answer
        else:
            raw.poll()
            if raw.notifies:
                self._heard = True
                raw.notifies.clear()

    def _explained(self, error: Error) -> StoreError:
        from ..outbox.models import OutboxEntry

        try:
            known = connections[self._database].introspection.table_names()
        except Error:
            return StoreError(f"The database {self._database!r} with the outbox cannot be used: {error}")
        if OutboxEntry._meta.db_table not in known:
            return StoreError(
                f"The database {self._database!r} has no table {OutboxEntry._meta.db_table}: run manage.py migrate "
                f"--database {self._database}."
            )
        return StoreError(f"The database {self._database!r} with the outbox cannot be used: {error}")


def _on_time(message: NewMessage, entry: Any) -> NewMessage:
    """Return a message whose delay begins with the call, not with the relay."""
    if not message.delay_ms:
        return message
    age_ms = max(0, round(entry.age.total_seconds() * 1000))
    return message._replace(delay_ms=max(0, message.delay_ms - age_ms))
