"""Change workflows for somebody who says who asks and why, which is written down first (`audit`)."""

from __future__ import annotations

from ..exceptions import TaskNotFound
from ..protocol.graph import Graph
from ..protocol.keys import check_id
from ..results.retry_failed import retry_failed as start_again
from ..stores.owner import Owner
from .audit import recorded

__all__ = ["retry_failed", "revoke"]


def revoke(owner: Owner, workflow_id: str, *, actor: str, reason: str, terminate: bool = False) -> bool:
    """Revoke all tasks of a workflow that are not finished; return whether there were any.

    Args:
        owner: of the workflow.
        workflow_id: of it.
        actor: who asks for it.
        reason: why.
        terminate: also interrupt those that run.

    Raises:
        InvalidTask: it cannot be an id.
        TaskNotFound: it is unknown, or has expired.
    """
    if owner.store.workflow(check_id(workflow_id)) is None:
        raise TaskNotFound(f"No workflow {workflow_id} is known: it was never enqueued here, or has expired.")
    with recorded(owner.store, "revoke workflow", workflow_id, actor, reason):
        return owner.store.revoke_workflow(workflow_id, terminate=terminate)


def retry_failed(owner: Owner, workflow_id: str, *, actor: str, reason: str) -> str:
    """Run what has not succeeded of a finished workflow again, as a new workflow; return its id.

    Args:
        owner: of the workflow.
        workflow_id: of it.
        actor: who asks for it.
        reason: why.

    Raises:
        InvalidTask: it is not finished, or nothing of it has failed.
        TaskNotFound: it is unknown, or one of its tasks has expired.
    """
    counts = owner.store.workflow(check_id(workflow_id))
    if counts is None:
        raise TaskNotFound(f"No workflow {workflow_id} is known: it was never enqueued here, or has expired.")
    graph = Graph.decode(workflow_id, counts.plan, owner.settings.wire)
    counts = owner.store.workflow(workflow_id, range(len(graph.fan_ins)))
    assert counts is not None
    with recorded(owner.store, "retry workflow", workflow_id, actor, reason):
        return start_again(owner, graph, counts).workflow_id
