"""Values for workflows that the calls of a `Store` take and return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .types import NewMessage

__all__ = ["FanIn", "FanInCounts", "KnownResult", "NewWorkflow", "Node", "WorkflowCounts"]


class Node(NamedTuple):
    """One message of a workflow; its id is `node_id` of its workflow and its place in `NewWorkflow.nodes`.

    ``waits_for``: the id of the task it waits for, shown to readers; empty: none. ``then``: what follows it: "4-7": the
    nodes that wait for it alone, "g0.3": it is member 3 of fan-in 0; "-": nothing.
    """

    message: NewMessage
    waits_for: str = ""
    then: str = "-"


class FanIn(NamedTuple):
    """Nodes that wait for many others, its ``members``.

    Nodes ``first`` to ``last`` go on when ``need`` members have succeeded, and fail when that has become impossible.
    If it ``collects``, they go on when all members are finished. ``cancels``: the first failure revokes the other
    members. ``deadline_ms``: this long after the start, ms, it is decided with the results so far; 0: never.
    ``succeeded``: members whose results are known from the start (`NewWorkflow.known_results`).
    """

    members: int
    need: int
    collects: bool = False
    cancels: bool = False
    first: int = 0
    last: int = -1
    deadline_ms: int = 0
    succeeded: int = 0


class KnownResult(NamedTuple):
    """A result that is known before its workflow starts: ``field`` as in `Store.gather`, and its ``content``."""

    field: str
    content: bytes


class NewWorkflow(NamedTuple):
    """A workflow to start: all of it, or nothing.

    The first ``heads`` nodes wait for nothing. A node comes after all nodes that it waits for. ``plan``: the encoded
    graph, kept for readers.
    """

    id: str
    nodes: Sequence[Node]
    heads: int
    fan_ins: Sequence[FanIn] = ()
    plan: bytes = b""
    known_results: Sequence[KnownResult] = ()


class FanInCounts(NamedTuple):
    """Counts and rules of a fan-in, see `FanIn`. ``decided``: the nodes that follow were released, or must fail."""

    members: int
    succeeded: int
    failed: int
    decided: bool
    need: int
    collects: bool
    cancels: bool


class WorkflowCounts(NamedTuple):
    """Counts of a workflow, and of the fan-ins that were asked for. ``started_ms``: ms since the epoch."""

    nodes: int
    finished: int
    failed: int
    started_ms: int
    plan: bytes
    fan_ins: list[FanInCounts]
