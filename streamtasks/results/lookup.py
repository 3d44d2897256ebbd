"""Find the group or the workflow to which an id or a message belongs."""

from __future__ import annotations

from typing import Any

from ..exceptions import TaskNotFound
from ..protocol.keys import check_id
from ..protocol.message import Message
from ..protocol.shards import node_of
from ..stores.owner import Owner
from .workflow_result import GroupResult, Workflow

__all__ = ["group_result", "parent_of", "workflow_of"]


def group_result(owner: Owner, group_id: str) -> GroupResult:
    """Return a handle on a group by its id.

    Raises:
        InvalidTask: there can be no such id.
        TaskNotFound: nothing is known of it, or it is no group.
    """
    check_id(group_id)
    workflow_id, _, number = group_id.rpartition(".g")
    inner = bool(workflow_id) and number.isdigit()
    workflow = Workflow(owner, workflow_id if inner else group_id)
    graph = workflow.read_graph()
    if inner and int(number) >= len(graph.fan_ins):
        raise TaskNotFound(f"No group {group_id} is known: its workflow has {len(graph.fan_ins)} groups.")
    if not inner and graph.result[0] == "n":
        raise TaskNotFound(f"{group_id} is no group: it ends with task {graph.id_of(graph.result[1])}.")
    return GroupResult(owner, workflow, int(number) if inner else None)


def workflow_of(owner: Owner, task_id: str) -> Workflow | None:
    """Return the workflow that a task belongs to; None if there is none."""
    node = node_of(task_id)
    return None if node is None else Workflow(owner, node[0])


def parent_of(owner: Owner, message: Message) -> Any:
    """Return a handle on what a task came after in its workflow, or on the task that enqueued it; None: on nothing."""
    node = node_of(message.id)
    if node is not None and message.follows.startswith("g"):
        return GroupResult(owner, Workflow(owner, node[0]), int(message.follows[1:]))
    return owner.result(message.parent_id) if message.parent_id else None
