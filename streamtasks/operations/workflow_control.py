"""Change workflows for somebody who says who asks and why, which is written down first (`audit`)."""

from __future__ import annotations

from ..exceptions import TaskNotFound
from ..protocol.keys import check_id
from ..stores.owner import Owner
from .audit import recorded

__all__ = ["revoke"]


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
