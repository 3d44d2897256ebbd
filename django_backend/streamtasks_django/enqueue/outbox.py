"""Write calls and workflows into the outbox, in the caller's transaction, and read those that are still there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from django.db import connections

from streamtasks.protocol.shards import node_of
from streamtasks.stores.types import NewMessage
from streamtasks.stores.workflow_types import NewWorkflow

from ..framework import task_enqueued
from ..outbox.content import decode_message, decode_workflow, encode_message, encode_workflow
from .signal_dispatch import send

if TYPE_CHECKING:
    from ..framework import TaskResult
    from ..outbox.models import OutboxEntry
    from .pipeline import Prepared
    from .store_alias import StoreAlias

__all__ = [
    "CHANNEL",
    "entries_of",
    "workflow_in_outbox",
    "write_calls",
    "write_workflow",
    "written_calls",
    "written_nodes",
]

CHANNEL: Final = "streamtasks_outbox"
"""The channel of PostgreSQL on which relays hear of new entries, when they are committed."""


def write_calls(backend: StoreAlias, calls: Sequence[Prepared]) -> None:
    """Write calls, and send ``task_enqueued`` of each: what its receivers write is in the same transaction."""
    _write(backend, [(message.id, False, encode_message(message)) for _, message, _ in calls])
    for result, _, _ in calls:
        send(task_enqueued, type(backend), result)


def write_workflow(
    backend: StoreAlias, new: NewWorkflow, results: Callable[[], Iterable[TaskResult[..., Any]]]
) -> None:
    """Write a workflow, and send ``task_enqueued`` of each task."""
    _write(backend, [(new.id, True, encode_workflow(new))])
    for result in results():
        send(task_enqueued, type(backend), result)


def _write(backend: StoreAlias, contents: Sequence[tuple[str, bool, bytes]]) -> None:
    from ..outbox.models import OutboxEntry  # only projects with an outbox have it

    database = backend.outbox_database
    assert database is not None
    OutboxEntry.objects.using(database).bulk_create(
        [
            OutboxEntry(backend=backend.alias, task_id=task_id, is_workflow=is_workflow, content=content)
            for task_id, is_workflow, content in contents
        ]
    )
    connection = connections[database]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, backend.alias])


def entries_of(backend: StoreAlias, ids: Iterable[str]) -> list[OutboxEntry]:
    """Return the entries with these ids of messages and workflows; none without an outbox."""
    if backend.outbox_database is None:
        return []
    from ..outbox.models import OutboxEntry

    return list(OutboxEntry.objects.using(backend.outbox_database).filter(backend=backend.alias, task_id__in=set(ids)))


def written_calls(backend: StoreAlias, ids: Iterable[str]) -> Mapping[str, NewMessage]:
    """Return the messages with these ids that have not been relayed."""
    return {one.task_id: decode_message(one.content) for one in entries_of(backend, ids) if not one.is_workflow}


def written_nodes(backend: StoreAlias, ids: Iterable[str]) -> list[NewWorkflow]:
    """Return the workflows of tasks with these ids that have not been relayed."""
    found = {node[0] for task_id in ids if (node := node_of(task_id)) is not None}
    return [decode_workflow(one.content) for one in entries_of(backend, found) if one.is_workflow] if found else []


def workflow_in_outbox(backend: StoreAlias, workflow_id: str) -> NewWorkflow | None:
    """Return a workflow that has not been relayed; None: there is none."""
    found = [one for one in entries_of(backend, [workflow_id]) if one.is_workflow]
    return decode_workflow(found[0].content) if found else None
