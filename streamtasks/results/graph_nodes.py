"""The tasks of a workflow with their present states."""

from __future__ import annotations

from itertools import batched
from typing import Final, NamedTuple

from ..protocol.graph import Graph
from ..stores.owner import Owner

__all__ = ["GraphNode", "graph_nodes"]

_MOST_READ: Final = 100


class GraphNode(NamedTuple):
    """One task of a workflow. ``follows``: the ids of the tasks that it comes after; ``state`` as of any task."""

    id: str
    task: str
    state: str
    follows: tuple[str, ...]


def graph_nodes(owner: Owner, graph: Graph) -> list[GraphNode]:
    """Read the states of all tasks of a workflow; each stands after those that it follows."""
    causes = graph.causes()
    named: dict[int, tuple[str, ...]] = {}  # many nodes may follow the same many
    found: list[GraphNode] = []
    for numbers in batched(range(graph.nodes), _MOST_READ):
        snapshots = owner.store.read([graph.id_of(number) for number in numbers])
        for number, snapshot in zip(numbers, snapshots, strict=True):
            task = snapshot.message().task if snapshot is not None else ""
            state = snapshot.state.value if snapshot is not None else "UNKNOWN"
            cause = causes.get(number, ())
            if id(cause) not in named:
                named[id(cause)] = tuple(map(graph.id_of, cause))
            found.append(GraphNode(graph.id_of(number), task, state, named[id(cause)]))
    return found
