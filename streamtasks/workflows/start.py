"""Start a workflow: build its nodes as messages of one shard and commit them atomically."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..exceptions import InvalidTask
from ..protocol.graph import Graph, GraphFanIn
from ..protocol.heard import NOTHING
from ..protocol.links import GATHER
from ..protocol.member_results import inputs_of
from ..protocol.message import Message
from ..protocol.shards import new_id, node_id
from ..results.workflow_result import GroupResult
from ..settings import StoreSettings
from ..stores.owner import Owner
from ..stores.types import NewMessage
from ..stores.workflow_types import FanIn, NewWorkflow, Node
from ..tasks.middleware import MOST_FOLLOWED, BuiltWorkflow, built_workflow
from ..tasks.position import Position
from ..tasks.signature import Signature
from .plan import COLLECT, After, CompositeStep, Expanded, PlannedFanIn, PlannedNode, expand

__all__ = ["Prepared", "astart", "prepare", "start"]


class Prepared(NamedTuple):
    """A workflow that is ready to send. ``takes``: which first nodes receive the result of a task that it follows."""

    owner: Owner
    new: NewWorkflow
    graph: Graph
    takes: Sequence[bool]


def start(workflow: CompositeStep) -> Any:
    """Enqueue a workflow; see `Step.apply_async`."""
    prepared = prepare(workflow)
    if prepared is None:
        return GroupResult.of_nothing()
    return prepared.owner.start_workflow(prepared.new, prepared.graph)


async def astart(workflow: CompositeStep) -> Any:
    """Enqueue a workflow from an event loop."""
    prepared = prepare(workflow)
    if prepared is None:
        return GroupResult.of_nothing()
    return await prepared.owner.astart_workflow(prepared.new, prepared.graph)


def prepare(workflow: CompositeStep, workflow_id: str = "") -> Prepared | None:
    """Return a workflow that is ready to send; None if it has no tasks.

    Raises:
        InvalidTask: a step or an option is wrong, or the tasks have different owners.
    """
    expanded = expand(workflow)
    owner = _owner(expanded)
    if owner is None:
        return None
    workflow_id = workflow_id or new_id(owner.settings.tags)
    building = BuiltWorkflow()
    token = built_workflow.set(building)
    try:
        messages = _messages(owner, workflow_id, expanded, building)
    finally:
        built_workflow.reset(token)
    graph = graph_of(workflow_id, expanded)
    nodes = [
        Node(message, _waits_for(workflow_id, planned.after), _then(planned))
        for planned, message in zip(expanded.nodes, messages, strict=True)
    ]
    fan_ins = [_fan_in(fan_in) for fan_in in expanded.fan_ins]
    takes = [_takes(planned) and planned.after.gives != "empty" for planned in expanded.nodes[: graph.heads]]
    plan = graph.encode(owner.settings.wire)
    return Prepared(owner, NewWorkflow(workflow_id, nodes, graph.heads, fan_ins, plan), graph, takes)


def _owner(expanded: Expanded) -> Owner | None:
    owner: Owner | None = None
    first: Signature | None = None
    for planned in expanded.nodes:
        signature = planned.signature
        if signature is None:
            continue
        here = signature.needed_origin().owner_of(signature)
        if owner is None:
            owner, first = here, signature
        elif here is not owner and here != owner:
            raise InvalidTask(
                f"{signature!r} goes to {here.description}, but {first!r} of the same workflow to "
                f"{owner.description}; all tasks of a workflow must have the same owner."
            )
    return owner


def _messages(owner: Owner, workflow_id: str, expanded: Expanded, building: BuiltWorkflow) -> Sequence[NewMessage]:
    messages: list[NewMessage] = []
    like: NewMessage | None = None
    gathers: list[tuple[int, Position]] = []
    for planned in expanded.nodes:
        position = _position(workflow_id, planned, signed=owner.settings.wire.is_sealed)
        if planned.signature is None:
            gathers.append((planned.number, position))
            messages.append(NewMessage(position.id, "", 0, b""))
            continue
        cause = planned.after.cause
        members = cause.members[:MOST_FOLLOWED] if isinstance(cause, PlannedFanIn) else ()
        building.follows = [node_id(workflow_id, member.number) for member in members]
        message = planned.signature.needed_origin().node_message(planned.signature, position)
        like = like or message
        messages.append(message)
    for number, position in gathers:
        assert like is not None
        messages[number] = _gather_message(like, position, owner.settings)
    return messages


def _gather_message(like: NewMessage, position: Position, settings: StoreSettings) -> NewMessage:
    """Return a message of the task `GATHER`, in the queue of another message."""
    message = Message(
        id=position.id,
        task=GATHER,
        args=list(position.before),
        queue=like.queue,
        priority=like.priority,
        root_id=position.root_id,
    )
    message = position.applied_to(message)
    envelope = message.encode(settings.max_payload_bytes, settings.wire)
    return NewMessage(position.id, like.queue, like.priority, envelope, hears=NOTHING, durability=like.durability)


def _position(workflow_id: str, planned: PlannedNode, *, signed: bool) -> Position:
    task_id = node_id(workflow_id, planned.number)
    cause, gives = planned.after
    takes = _takes(planned)
    before: tuple[Any, ...] = ([],) if gives == "empty" and takes else ()
    if cause is None:
        return Position(task_id, before=before)
    is_node = isinstance(cause, PlannedNode)
    return Position(
        task_id,
        str(cause.number) if is_node else f"g{cause.number}",
        takes and gives != "empty",
        node_id(workflow_id, cause.number) if is_node else "",
        node_id(workflow_id, 0),
        before,
        _inputs(workflow_id, cause) if signed and takes and isinstance(cause, PlannedFanIn) else (),
    )


def _inputs(workflow_id: str, cause: PlannedFanIn) -> list[Any]:
    """Return what a signed message says of the members whose results it takes; see `Message.inputs`."""
    ids = [node_id(workflow_id, member.number) for member in cause.members]
    policy = cause.policy
    goes_on_late = policy.deadline_s and policy.on_error == COLLECT
    return inputs_of(ids, 0 if goes_on_late else policy.quorum or len(ids))


def _takes(planned: PlannedNode) -> bool:
    return planned.signature is None or not planned.signature.immutable


def _waits_for(workflow_id: str, after: After) -> str:
    if after.cause is None:
        return ""
    return node_id(workflow_id, after.cause.number) if isinstance(after.cause, PlannedNode) else workflow_id


def _then(planned: PlannedNode) -> str:
    if planned.followers:
        return f"{planned.followers[0].number}-{planned.followers[-1].number}"
    return f"g{planned.fan_in.number}.{planned.index}" if planned.fan_in is not None else "-"


def _fan_in(fan_in: PlannedFanIn) -> FanIn:
    policy, followers = fan_in.policy, fan_in.followers
    return FanIn(
        len(fan_in.members),
        policy.quorum or len(fan_in.members),
        policy.on_error == COLLECT,
        policy.fail_fast,
        followers[0].number if followers else 0,
        followers[-1].number if followers else -1,
        round((policy.deadline_s or 0) * 1000),
    )


def graph_of(workflow_id: str, expanded: Expanded) -> Graph:
    """Return the graph of a planned workflow."""
    cause, gives = expanded.result
    result = ("e", 0)
    if isinstance(cause, PlannedNode) and gives == "value":
        result = ("n", cause.number)
    elif isinstance(cause, PlannedFanIn):
        result = ("g", cause.number)
    return Graph(
        workflow_id,
        len(expanded.nodes),
        sum(planned.after.cause is None for planned in expanded.nodes),
        {
            planned.number: (planned.followers[0].number, planned.followers[-1].number)
            for planned in expanded.nodes
            if planned.followers
        },
        [
            GraphFanIn(
                [member.number for member in fan_in.members],
                sorted(one.number for one in fan_in.inside),
                fan_in.followers[0].number if fan_in.followers else 0,
                fan_in.followers[-1].number if fan_in.followers else -1,
            )
            for fan_in in expanded.fan_ins
        ],
        result,
    )
