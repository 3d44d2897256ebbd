"""Workflows in the calls of a `Store`: what is started, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .types import NewMessage

__all__ = ["FanIn", "FanInCounts", "KnownResult", "NewWorkflow", "Node", "WorkflowCounts"]


class Node(NamedTuple):
    """One message of a workflow; its id is `node_id` of its workflow and its place in `NewWorkflow.nodes`.

    ``waits_for``: the id of what it waits for, shown to readers; empty: nothing. ``then``: what comes after it, "4-7":
    the nodes that follow it alone, "g0.3": it is the member at place 3 of fan-in 0; "-": nothing.
    """

    message: NewMessage
    waits_for: str = ""
    then: str = "-"


class FanIn(NamedTuple):
    """What waits for many nodes, its ``members``.

    Nodes ``first`` to ``last`` go on once ``need`` of them have succeeded. If that cannot be any more, these fail; if
    it ``collects``, they go on once all members are finished. ``cancels``: the first failure has the other members
    revoked. ``deadline_ms`` after the start it is decided by what is known then. ``succeeded``: members whose results
    are known from the beginning (`NewWorkflow.known_results`).
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
    """A result that is known before its workflow starts: ``field`` as in `Store.gather`, ``content`` what is there."""

    field: str
    content: bytes


class NewWorkflow(NamedTuple):
    """A workflow to start: all of it, or nothing.

    The first ``heads`` nodes wait for nothing. A node comes after all that it waits for. ``plan`` is kept for readers.
    """

    id: str
    nodes: Sequence[Node]
    heads: int
    fan_ins: Sequence[FanIn] = ()
    plan: bytes = b""
    known_results: Sequence[KnownResult] = ()


class FanInCounts(NamedTuple):
    """How far a fan-in is, and its rules; see `FanIn`. ``decided``: what follows was let go, or must fail."""

    members: int
    succeeded: int
    failed: int
    decided: bool
    need: int
    collects: bool
    cancels: bool


class WorkflowCounts(NamedTuple):
    """How far a workflow is. ``fan_ins``: how far those are that were asked for."""

    nodes: int
    finished: int
    failed: int
    started_ms: int
    plan: bytes
    fan_ins: list[FanInCounts]
