"""From what a user wrote to the nodes of a workflow: which there are, in which order, and what each waits for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from ..exceptions import InvalidTask
from ..tasks.signature import Signature
from .canvas import Canvas, Chain, Chord, Group, Policy, Step, with_options

__all__ = ["Expanded", "Fan", "Following", "Planned", "expand"]

_START_OPTIONS: Final = frozenset({"countdown", "eta", "run_after"})
_END_OPTIONS: Final = frozenset({"link", "link_error"})


class Following(NamedTuple):
    """What something comes after, and what it gets: a ``"value"``, a ``"list"``, an ``"empty"`` list, or nothing."""

    cause: Planned | Fan | None = None
    gives: Literal["", "value", "list", "empty"] = ""


@dataclass(slots=True, eq=False)
class Planned:
    """A node to be. ``signature`` is None for one that only hands on the list it gets."""

    signature: Signature | None
    after: Following
    number: int = -1
    followers: list[Planned] = field(default_factory=list)
    fan: Fan | None = None
    place: int = 0


@dataclass(slots=True, eq=False)
class Fan:
    """A fan-in to be. ``inside``: all nodes that end with it."""

    policy: Policy
    members: list[Planned] = field(default_factory=list)
    inside: list[Planned] = field(default_factory=list)
    followers: list[Planned] = field(default_factory=list)
    number: int = -1


class Expanded(NamedTuple):
    """A whole workflow: its nodes and fan-ins in the order of their numbers, and what its result is."""

    nodes: list[Planned]
    fans: list[Fan]
    result: Following


def expand(step: Step) -> Expanded:
    """Return what a step consists of.

    Raises:
        InvalidTask: an option cannot be had of a group.
    """
    planner = _Planner()
    end = planner.plan(step, Following())
    nodes = _numbered(planner.heads)
    fans = planner.fans
    for number, fan in enumerate(fans):
        fan.number = number
    return Expanded(nodes, fans, end)


class _Planner:
    def __init__(self) -> None:
        self.heads: list[Planned] = []
        self.made: list[Planned] = []
        self.fans: list[Fan] = []

    def plan(self, step: Step, after: Following) -> Following:
        if isinstance(step, Signature):
            return Following(self._node(step, after), "value")
        if isinstance(step, Chain):
            return self._in_turn(step.steps, step.options, after)
        if isinstance(step, Chord):
            assert step.body is not None
            return self._in_turn((step.header, step.body), step.options, after)
        assert isinstance(step, Group)
        return self._side_by_side(step, after)

    def _in_turn(self, steps: Iterable[Step], options: Mapping[str, Any], after: Following) -> Following:
        steps = tuple(steps)
        for place, step in enumerate(steps):
            own = {
                name: value
                for name, value in options.items()
                if (place == 0 or name not in _START_OPTIONS) and (place == len(steps) - 1 or name not in _END_OPTIONS)
            }
            after = self.plan(with_options(step, own), after)
        return after

    def _side_by_side(self, group: Group, after: Following) -> Following:
        if group.options.get("link"):
            raise InvalidTask("link: a group has no end of its own to link to; write group(...) | task.s().")
        if not group.members:
            return Following(after.cause, "empty")
        fan = Fan(group.policy)
        begin = len(self.made)
        for place, member in enumerate(group.members):
            end = self.plan(with_options(member, group.options), after)
            # A group inside a group becomes one value by a node that only hands on its list.
            node = end.cause if end.gives == "value" and isinstance(end.cause, Planned) else self._node(None, end)
            node.fan, node.place = fan, place
            fan.members.append(node)
        fan.inside = self.made[begin:]
        self.fans.append(fan)
        return Following(fan, "list")

    def _node(self, signature: Signature | None, after: Following) -> Planned:
        node = Planned(signature, after)
        self.made.append(node)
        (self.heads if after.cause is None else after.cause.followers).append(node)
        return node


def _numbered(heads: list[Planned]) -> list[Planned]:
    """Number all nodes: those that follow the same one stand together, and each after all that it follows."""
    nodes: list[Planned] = []
    missing: dict[Fan, int] = {}
    turns: deque[list[Planned]] = deque([heads])
    while turns:
        for node in turns.popleft():
            node.number = len(nodes)
            nodes.append(node)
            if node.followers:
                turns.append(node.followers)
            if node.fan is not None:
                left = missing[node.fan] = missing.get(node.fan, len(node.fan.members)) - 1
                if not left and node.fan.followers:
                    turns.append(node.fan.followers)
    return nodes


def signatures_of(step: Step) -> Iterable[Signature]:
    """Yield every signature in a step."""
    if isinstance(step, Signature):
        yield step
    elif isinstance(step, Group):
        for member in step.members:
            yield from signatures_of(member)
    elif isinstance(step, Chain):
        for one in step.steps:
            yield from signatures_of(one)
    elif isinstance(step, Chord):
        yield from signatures_of(step.header)
        if step.body is not None:
            yield from signatures_of(step.body)
    else:
        assert not isinstance(step, Canvas)
