"""Plan a workflow: which nodes it has, in which order, and what each of them waits for."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from ..exceptions import InvalidTask
from ..protocol.validation import check_count, check_seconds
from ..tasks.options import seconds, switch
from ..tasks.signature import Signature
from ..tasks.step import Step

__all__ = [
    "COLLECT",
    "DEFAULT_POLICY",
    "FAIL",
    "After",
    "CompositeStep",
    "Expanded",
    "PlannedFanIn",
    "PlannedNode",
    "Planner",
    "Policy",
    "expand",
]

FAIL: Final = "fail"
COLLECT: Final = "collect"
_START_OPTIONS: Final = frozenset({"countdown", "eta", "run_after"})
_END_OPTIONS: Final = frozenset({"link", "link_error"})


@dataclass(frozen=True, slots=True)
class Policy:
    """When the steps after a group run.

    Attributes:
        on_error: ``"fail"``: they fail as soon as a member has failed. ``"collect"``: they wait for all, and get errors
            as values, dicts with ``task_id``, ``state``, ``error`` (the exception's path), ``message``, ``traceback``.
        quorum: run after this many successes; members that are not finished then are None.
        deadline_s: wait no longer than this from the start of the workflow, seconds.
        fail_fast: the first failure revokes the other members.
    """

    on_error: str = FAIL
    quorum: int | None = None
    deadline_s: float | None = None
    fail_fast: bool = False

    @classmethod
    def of(cls, on_error: Any, quorum: Any, deadline: Any, fail_fast: Any) -> Policy:
        """Return a checked policy.

        Raises:
            InvalidTask: a value is wrong; the message names it.
        """
        if on_error not in (FAIL, COLLECT):
            raise InvalidTask(f"on_error is {on_error!r}; it must be 'fail' or 'collect'.")
        if quorum is not None:
            check_count("quorum", quorum, InvalidTask, least=1)
        if deadline is not None:
            check_seconds("deadline", seconds(deadline), InvalidTask)
        switch("fail_fast", fail_fast)
        return cls(on_error, quorum, seconds(deadline), fail_fast)


DEFAULT_POLICY: Final = Policy()


class CompositeStep(Step):
    """A step that consists of other steps: a chain, group or chord."""

    __slots__ = ()

    @abstractmethod
    def plan(self, planner: Planner, after: After) -> After:
        """Add its nodes to a plan; return what a next step comes after.

        Raises:
            InvalidTask: it cannot be planned.
        """


class After(NamedTuple):
    """What a step comes after, and what it receives: a ``"value"``, a ``"list"``, an ``"empty"`` list, or nothing."""

    cause: PlannedNode | PlannedFanIn | None = None
    gives: Literal["", "value", "list", "empty"] = ""


@dataclass(slots=True, eq=False)
class PlannedNode:
    """A node of the plan. ``signature`` is None for one that only returns the list it receives."""

    signature: Signature | None
    after: After
    number: int = -1
    followers: list[PlannedNode] = field(default_factory=list)
    fan_in: PlannedFanIn | None = None
    index: int = 0


@dataclass(slots=True, eq=False)
class PlannedFanIn:
    """A fan-in of the plan. ``inside``: all nodes that end with it."""

    policy: Policy
    members: list[PlannedNode] = field(default_factory=list)
    inside: list[PlannedNode] = field(default_factory=list)
    followers: list[PlannedNode] = field(default_factory=list)
    number: int = -1


class Expanded(NamedTuple):
    """A whole workflow: its nodes and fan-ins in the order of their numbers, and what its result is."""

    nodes: list[PlannedNode]
    fan_ins: list[PlannedFanIn]
    result: After


def expand(step: Step) -> Expanded:
    """Return the nodes and fan-ins of a step.

    Raises:
        InvalidTask: it cannot be planned.
    """
    planner = Planner()
    end = planner.plan(step, After())
    nodes = _numbered(planner.heads)
    for number, fan_in in enumerate(planner.fan_ins):
        fan_in.number = number
    return Expanded(nodes, planner.fan_ins, end)


class Planner:
    """Collect the nodes and fan-ins of one workflow."""

    def __init__(self) -> None:
        self.heads: list[PlannedNode] = []
        self.nodes: list[PlannedNode] = []
        self.fan_ins: list[PlannedFanIn] = []

    def plan(self, step: Step, after: After) -> After:
        """Plan one step; return what a next one comes after."""
        if isinstance(step, Signature):
            return After(self._node(step, after), "value")
        assert isinstance(step, CompositeStep)
        return step.plan(self, after)

    def in_sequence(self, steps: Sequence[Step], options: Mapping[str, Any], after: After) -> After:
        """Plan steps that run one after the other; ``options``: defaults of all of them."""
        for index, step in enumerate(steps):
            own = {
                name: value
                for name, value in options.items()
                if (index == 0 or name not in _START_OPTIONS) and (index == len(steps) - 1 or name not in _END_OPTIONS)
            }
            after = self.plan(step.with_defaults(own), after)
        return after

    def side_by_side(self, members: Iterable[Step], policy: Policy, options: Mapping[str, Any], after: After) -> After:
        """Plan members that run side by side and end in one fan-in; ``options``: defaults of all of them."""
        fan_in = PlannedFanIn(policy)
        begin = len(self.nodes)
        for index, member in enumerate(members):
            end = self.plan(member.with_defaults(options), after)
            # A group inside a group becomes one value by a node that only returns its list.
            node = end.cause if end.gives == "value" and isinstance(end.cause, PlannedNode) else self._node(None, end)
            node.fan_in, node.index = fan_in, index
            fan_in.members.append(node)
        if not fan_in.members:
            return After(after.cause, "empty")
        fan_in.inside = self.nodes[begin:]
        self.fan_ins.append(fan_in)
        return After(fan_in, "list")

    def _node(self, signature: Signature | None, after: After) -> PlannedNode:
        node = PlannedNode(signature, after)
        self.nodes.append(node)
        (self.heads if after.cause is None else after.cause.followers).append(node)
        return node


def _numbered(heads: list[PlannedNode]) -> list[PlannedNode]:
    """Number all nodes: those with the same cause are consecutive, and each comes after all that it follows."""
    nodes: list[PlannedNode] = []
    missing: dict[PlannedFanIn, int] = {}
    turns: deque[list[PlannedNode]] = deque([heads])
    while turns:
        for node in turns.popleft():
            node.number = len(nodes)
            nodes.append(node)
            if node.followers:
                turns.append(node.followers)
            if node.fan_in is not None:
                left = missing[node.fan_in] = missing.get(node.fan_in, len(node.fan_in.members)) - 1
                if not left and node.fan_in.followers:
                    turns.append(node.fan_in.followers)
    return nodes
