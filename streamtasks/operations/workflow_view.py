"""Look at a workflow: how far it is, and the first of its tasks with their states, in a bounded number of calls."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from ..exceptions import TaskNotFound
from ..protocol.graph import Graph
from ..protocol.keys import check_id
from ..protocol.shards import node_of
from ..stores.owner import Owner
from .inspect import TaskView, view_of

__all__ = ["MOST_NODES", "WorkflowNode", "WorkflowView", "look_at_workflow", "workflow_id_of"]

MOST_NODES: Final = 300
"""So many tasks of a workflow are looked at."""

_MOST_READ: Final = 100


class WorkflowNode(NamedTuple):
    """A task of a workflow.

    Attributes:
        id: of the task.
        task: None: its record has expired.
        follows: the numbers of the tasks that it comes after, as far as they were looked at.
        level: how many tasks stand before it in a row.
    """

    id: str
    task: TaskView | None
    follows: tuple[int, ...]
    level: int


class WorkflowView(NamedTuple):
    """A workflow at one moment.

    Attributes:
        id: of it.
        total: how many tasks it has.
        finished: how many of them have ended.
        failed: how many of them have failed.
        started_ms: when it was started, ms since the epoch.
        nodes: the first `MOST_NODES` tasks, each after those that it follows.
        states: of these, how many are in which state.
    """

    id: str
    total: int
    finished: int
    failed: int
    started_ms: int
    nodes: list[WorkflowNode]
    states: dict[str, int]


def workflow_id_of(task_id: str) -> str:
    """Return the id of the workflow that a task is part of; empty: it is part of none."""
    node = node_of(task_id)
    return "" if node is None else node[0]


def look_at_workflow(owner: Owner, workflow_id: str) -> WorkflowView:
    """Return how a workflow is. Asks at most four times.

    Raises:
        TaskNotFound: it is unknown, or has expired.
        DecodeError: its graph cannot be read.
    """
    counts = owner.store.workflow(check_id(workflow_id))
    if counts is None:
        raise TaskNotFound(f"No workflow {workflow_id} is known: it was never enqueued here, or has expired.")
    graph, wire = Graph.decode(workflow_id, counts.plan, owner.settings.wire), owner.settings.wire
    number = min(graph.nodes, MOST_NODES)
    ids = [graph.id_of(place) for place in range(number)]
    found: list[TaskView | None] = []
    for first in range(0, number, _MOST_READ):
        snapshots = owner.store.read(ids[first : first + _MOST_READ])
        found += [None if one is None else view_of(one, wire) for one in snapshots]
    causes, levels, nodes = graph.causes(), [0] * number, []
    deepest: dict[int, int] = {}  # many nodes may follow the same many
    for place in range(number):
        before = causes.get(place, ())
        if id(before) not in deepest:
            deepest[id(before)] = max((levels[one] + 1 for one in before if one < number), default=0)
        levels[place] = deepest[id(before)]
        follows = tuple(one for one in before if one < number) if len(before) <= _MOST_READ else ()
        nodes.append(WorkflowNode(ids[place], found[place], follows, levels[place]))
    states = Counter("UNKNOWN" if one is None else one.snapshot.state.value for one in found)
    return WorkflowView(
        workflow_id,
        counts.nodes,
        counts.finished,
        counts.failed,
        counts.started_ms,
        nodes,
        dict(sorted(states.items())),
    )
