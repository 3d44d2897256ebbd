"""Decide whether what is enqueued goes to the store now, with the transaction around it, or through the outbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from ..tasks.commit_request import awaited_database
from .on_commit import Held, HeldWorkflow, hold, is_open
from .outbox import write_calls, write_workflow

if TYPE_CHECKING:
    from streamtasks.stores.workflow_types import NewWorkflow

    from ..framework import TaskResult
    from .pipeline import Prepared
    from .store_alias import StoreAlias

__all__ = ["acalls_held", "aworkflow_held", "calls_held", "workflow_held"]


def calls_held(backend: StoreAlias, calls: Sequence[Prepared], *, own_id: bool = False) -> bool:
    """Write calls into the outbox, or hold them back if a transaction is open that they wait for; return whether so.

    Args:
        backend: their alias.
        calls: prepared ones.
        own_id: whether the caller has chosen the id of the only one.
    """
    if backend.outbox_database is not None:
        write_calls(backend, calls)
        return True
    database = awaited_database(backend.commit_database)
    if database is None or not is_open(database):
        return False
    hold(Held(backend, calls, own_id), database)
    return True


async def acalls_held(backend: StoreAlias, calls: Sequence[Prepared], *, own_id: bool = False) -> bool:
    """Hold calls back from an event loop: its transactions are those of the thread of ``sync_to_async``."""
    if not _may_wait(backend):
        return False
    return await sync_to_async(calls_held)(backend, calls, own_id=own_id)


def workflow_held(backend: StoreAlias, new: NewWorkflow, results: Callable[[], Iterable[TaskResult[..., Any]]]) -> bool:
    """The same for a workflow; ``results``: of its tasks, see `HeldWorkflow`."""
    if backend.outbox_database is not None:
        write_workflow(backend, new, results)
        return True
    database = awaited_database(backend.commit_database)
    if database is None or not is_open(database):
        return False
    hold(HeldWorkflow(backend, new, results), database)
    return True


async def aworkflow_held(
    backend: StoreAlias, new: NewWorkflow, results: Callable[[], Iterable[TaskResult[..., Any]]]
) -> bool:
    """Hold a workflow back from an event loop; see `workflow_held`."""
    if not _may_wait(backend):
        return False
    return await sync_to_async(workflow_held)(backend, new, results)


def _may_wait(backend: StoreAlias) -> bool:
    return backend.outbox_database is not None or awaited_database(backend.commit_database) is not None
