"""From a step to a started workflow: its nodes become messages of one shard, which all go live at once, or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..exceptions import InvalidTask
from ..protocol.graph import Graph, GraphFanIn
from ..protocol.links import GATHER
from ..protocol.message import Message
from ..protocol.shards import new_id, node_id
from ..settings import StoreSettings
from ..stores.owner import Owner
from ..stores.types import FanIn, NewMessage, NewWorkflow, Node
from ..tasks.position import Position
from ..tasks.signature import Signature
from .canvas import Canvas, Chord
from .plan import Expanded, Fan, Following, Planned, expand

__all__ = ["Prepared", "astart", "prepare", "start"]


class Prepared(NamedTuple):
    """A workflow that can be sent. ``takes``: which of the first nodes would get the result of what they followed."""

    owner: Owner
    new: NewWorkflow
    graph: Graph
    takes: Sequence[bool]


def start(canvas: Canvas) -> Any:
    """Enqueue a workflow; see `Canvas.apply_async`."""
    from ..results.workflow_result import GroupResult, result_of

    prepared = prepare(canvas)
    if prepared is None:
        return GroupResult.of_nothing()
    owner = prepared.owner
    if owner.store.start_workflow(prepared.new):
        owner.workflow_started(prepared.new)
    return result_of(owner, prepared.graph)


async def astart(canvas: Canvas) -> Any:
    """Enqueue a workflow from an event loop."""
    from ..results.workflow_result import GroupResult, aresult_of

    prepared = prepare(canvas)
    if prepared is None:
        return GroupResult.of_nothing()
    owner = prepared.owner
    if await owner.async_store.start_workflow(prepared.new):
        await owner.aworkflow_started(prepared.new)
    return await aresult_of(owner, prepared.graph)


def prepare(canvas: Canvas, workflow_id: str = "") -> Prepared | None:
    """Return a workflow ready to be sent; None if there is no task in it.

    Raises:
        InvalidTask: it cannot work; a task goes to another backend or app than the others.
    """
    if isinstance(canvas, Chord) and canvas.body is None:
        raise InvalidTask("A chord without a body can only be called with one: chord(header)(body).")
    expanded = expand(canvas)
    owner = _owner(expanded)
    if owner is None:
        return None
    workflow_id = workflow_id or new_id(owner.settings.tags)
    messages = _messages(owner, workflow_id, expanded)
    graph = graph_of(workflow_id, expanded)
    nodes = [
        Node(message, _waits_for(workflow_id, planned.after), _then(planned))
        for planned, message in zip(expanded.nodes, messages, strict=True)
    ]
    fan_ins = [_fan_in(fan) for fan in expanded.fans]
    takes = [_takes(planned) and planned.after.gives != "empty" for planned in expanded.nodes[: graph.heads]]
    return Prepared(owner, NewWorkflow(workflow_id, nodes, graph.heads, fan_ins, graph.encode()), graph, takes)


def _owner(expanded: Expanded) -> Owner | None:
    owner: Owner | None = None
    first: Signature | None = None
    for planned in expanded.nodes:
        signature = planned.signature
        if signature is None:
            continue
        if signature.origin is None:
            raise InvalidTask(f"{signature!r} came over the wire; look its task up to enqueue it.")
        here = signature.origin.owner_of(signature)
        if owner is None:
            owner, first = here, signature
        elif here is not owner and here != owner:
            raise InvalidTask(
                f"{signature!r} goes to {here.description}, but {first!r} of the same workflow to "
                f"{owner.description}; all tasks of a workflow must have the same owner."
            )
    return owner


def _messages(owner: Owner, workflow_id: str, expanded: Expanded) -> Sequence[NewMessage]:
    messages: list[NewMessage] = []
    like: NewMessage | None = None
    gathers: list[tuple[int, Position]] = []
    for planned in expanded.nodes:
        position = _position(workflow_id, planned)
        if planned.signature is None:
            gathers.append((planned.number, position))
            messages.append(NewMessage(position.id, "", 0, b""))
            continue
        assert planned.signature.origin is not None
        message = planned.signature.origin.node_message(planned.signature, position)
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
    return NewMessage(position.id, like.queue, like.priority, message.encode(settings.max_payload_bytes, settings.wire))


def _position(workflow_id: str, planned: Planned) -> Position:
    task_id = node_id(workflow_id, planned.number)
    cause, gives = planned.after
    takes = _takes(planned)
    before: tuple[Any, ...] = ([],) if gives == "empty" and takes else ()
    if cause is None:
        return Position(task_id, before=before)
    is_node = isinstance(cause, Planned)
    return Position(
        task_id,
        str(cause.number) if is_node else f"g{cause.number}",
        takes and gives != "empty",
        node_id(workflow_id, cause.number) if is_node else "",
        node_id(workflow_id, 0),
        before,
    )


def _takes(planned: Planned) -> bool:
    return planned.signature is None or not planned.signature.immutable


def _waits_for(workflow_id: str, after: Following) -> str:
    if after.cause is None:
        return ""
    return node_id(workflow_id, after.cause.number) if isinstance(after.cause, Planned) else workflow_id


def _then(planned: Planned) -> str:
    if planned.followers:
        return f"{planned.followers[0].number}-{planned.followers[-1].number}"
    return f"g{planned.fan.number}.{planned.place}" if planned.fan is not None else "-"


def _fan_in(fan: Fan) -> FanIn:
    policy, followers = fan.policy, fan.followers
    return FanIn(
        len(fan.members),
        policy.quorum or len(fan.members),
        policy.on_error == "collect",
        policy.fail_fast,
        followers[0].number if followers else 0,
        followers[-1].number if followers else -1,
        round((policy.deadline_s or 0) * 1000),
    )


def graph_of(workflow_id: str, expanded: Expanded) -> Graph:
    """Return the graph of what was expanded."""
    cause, gives = expanded.result
    result = ("e", 0)
    if isinstance(cause, Planned) and gives == "value":
        result = ("n", cause.number)
    elif isinstance(cause, Fan):
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
                [member.number for member in fan.members],
                sorted(one.number for one in fan.inside),
                fan.followers[0].number if fan.followers else 0,
                fan.followers[-1].number if fan.followers else -1,
            )
            for fan in expanded.fans
        ],
        result,
    )
