"""The graph of a workflow: which node follows which, as the store keeps it for readers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..exceptions import DecodeError
from .json import dumps, loads
from .seals import GRAPH
from .shards import node_id, node_of
from .wire import JSON, Wire

__all__ = ["Graph", "GraphFanIn", "ids_of", "numbers_to_revoke", "runs_of"]

logger = logging.getLogger("streamtasks.store")


@dataclass(frozen=True, slots=True)
class GraphFanIn:
    """A fan-in: the numbers of its members in order, and of the nodes that follow (``last`` before ``first``: none).

    ``inside``: the members and what leads to them alone, those that end with the group.
    """

    members: Sequence[int]
    inside: Sequence[int] = ()
    first: int = 0
    last: int = -1


@dataclass(slots=True)
class Graph:
    """Which node follows which. Every node has a number, higher than the numbers of all nodes that it follows.

    Attributes:
        workflow_id: the workflow.
        nodes: how many there are.
        heads: how many of them, the first ones, follow nothing.
        after: node -> first and last of those that follow it alone.
        fan_ins: the fan-ins.
        result: what it returns as a whole: ``("n", node)``, ``("g", fan-in)``, or an empty list, ``("e", 0)``.
        known: ids of tasks of an earlier workflow whose results it uses, by numbers from ``nodes`` on.
    """

    workflow_id: str
    nodes: int = 0
    heads: int = 0
    after: dict[int, tuple[int, int]] = field(default_factory=dict)
    fan_ins: list[GraphFanIn] = field(default_factory=list)
    result: tuple[str, int] = ("e", 0)
    known: dict[int, str] = field(default_factory=dict)

    def id_of(self, number: int) -> str:
        """Return the id of a node."""
        return self.known.get(number) or node_id(self.workflow_id, number)

    def numbers_in(self, part: str) -> list[int]:
        """Return the nodes of a part that is to be revoked, the last one first, so that none goes on meanwhile.

        Args:
            part: ``"all"``, or the number of a fan-in; one that there is not, noted before the workflow came, has none.
        """
        if part == "all":
            return list(range(self.nodes - 1, -1, -1))
        place = int(part)
        return sorted(self.fan_ins[place].inside, reverse=True) if place < len(self.fan_ins) else []

    def encode(self, wire: Wire = JSON) -> bytes:
        """Return the bytes that are stored; ``wire``: how they are signed or encrypted."""
        plan = dumps(
            {
                "v": 1,
                "n": self.nodes,
                "h": self.heads,
                "s": [[number, *to] for number, to in self.after.items()],
                "g": [
                    [_runs(fan_in.members), _runs(fan_in.inside), fan_in.first, fan_in.last] for fan_in in self.fan_ins
                ],
                "r": self.result,
                "k": runs_of(self.known),
            }
        )
        return wire.seal(plan, GRAPH, self.workflow_id)

    @classmethod
    def decode(cls, workflow_id: str, plan: bytes, wire: Wire = JSON) -> Graph:
        """Read what `encode` returned.

        Raises:
            NotAuthentic: it is changed, forged, moved, or unsigned although it must be signed.
            DecodeError: it is something else.
        """
        found = loads(wire.unseal(plan, GRAPH, workflow_id))
        try:
            return cls(
                workflow_id,
                found["n"],
                found["h"],
                {number: (first, last) for number, first, last in found["s"]},
                [
                    GraphFanIn(_numbers(members), _numbers(inside), first, last)
                    for members, inside, first, last in found["g"]
                ],
                (found["r"][0], found["r"][1]),
                ids_of(found["k"]),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DecodeError(f"not the graph of a workflow: {plan[:80]!r}") from error

    def causes(self) -> dict[int, Sequence[int]]:
        """Return what each node that follows something follows, by numbers: one node, or the members of a fan-in."""
        found: dict[int, Sequence[int]] = {}
        for number, (first, last) in self.after.items():
            found.update(dict.fromkeys(range(first, last + 1), (number,)))
        for fan_in in self.fan_ins:
            found.update(dict.fromkeys(range(fan_in.first, fan_in.last + 1), fan_in.members))
        return found


def numbers_to_revoke(workflow_id: str, plan: bytes, nodes: int, part: str, wire: Wire) -> list[int]:
    """Return the nodes of a part; see `Graph.numbers_in`.

    Of a graph that this process may not read, only the whole can be revoked; any other part is logged, so that no
    keeper stands still because of it.
    """
    try:
        return Graph.decode(workflow_id, plan, wire).numbers_in(part)
    except DecodeError as error:
        if part == "all":
            return list(range(nodes - 1, -1, -1))
        logger.error("a group of workflow %s cannot be revoked, only all of it: %s", workflow_id, error)  # noqa: TRY400
        return []


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return runs


def _numbers(runs: Any) -> list[int]:
    return [number for first, last in runs for number in range(first, last + 1)]


def runs_of(known: dict[int, str]) -> list[list[Any]]:
    """Shorten ids of nodes: runs of first number here, how many, whose, and first number there."""
    runs: list[list[Any]] = []
    for number, task_id in sorted(known.items()):
        node = node_of(task_id)
        assert node is not None
        last = runs[-1] if runs else None
        if last is not None and number - last[0] == last[1] and node == (last[2], last[3] + last[1]):
            last[1] += 1
        else:
            runs.append([number, 1, *node])
    return runs


def ids_of(runs: Any) -> dict[int, str]:
    """Undo `runs_of`."""
    return {
        number: node_id(workflow_id, first + number - number_from)
        for number_from, count, workflow_id, first in runs
        for number in range(number_from, number_from + count)
    }
