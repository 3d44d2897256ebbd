"""From a step to a started workflow: its nodes become messages of one shard, which all go live at once, or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from ..exceptions import InvalidTask
from ..protocol.message import Message
from ..protocol.shards import new_id, node_id
from ..stores.owner import Owner
from ..stores.types import FanIn, Limit, NewMessage, NewWorkflow, Node
from ..tasks.signature import Signature
from .canvas import Canvas, Chord
from .graph import Join, Shape
from .plan import Expanded, Fan, Following, Planned, expand

__all__ = ["Home", "Part", "Prepared", "astart", "prepare", "start"]


class Part(NamedTuple):
    """What a message must know of its place in a workflow; see `Message`. ``before``: values before its arguments."""

    id: str
    follows: str = ""
    takes: bool = False
    parent_id: str = ""
    root_id: str = ""
    before: tuple[Any, ...] = ()


class Home(Owner, Protocol):
    """Where a workflow lives: an app, or one alias of a Django project. Two of the same place are equal."""

    def message_of(self, signature: Signature, part: Part) -> NewMessage:
        """Return a call as a message."""
        ...

    def gathering(self, like: NewMessage, part: Part) -> NewMessage:
        """Return a message of the task `GATHER`, in the queue of another message."""
        ...

    def result(self, task_id: str) -> Any:
        """Return a handle on a task."""
        ...

    async def aresult(self, task_id: str) -> Any:
        """Return a handle on a task, from an event loop."""
        ...

    def results(self, ids: Sequence[str]) -> list[Any]:
        """Return handles on tasks."""
        ...

    def limit_of(self, message: Message) -> Limit | None:
        """Return the rate limit that the start of a call counts against."""
        ...

    def started(self, new: NewWorkflow) -> None:
        """Tell that a workflow was enqueued."""
        ...

    async def astarted(self, new: NewWorkflow) -> None:
        """Tell that a workflow was enqueued, from an event loop."""
        ...


class Prepared(NamedTuple):
    """A workflow that can be sent. ``takes``: which of the first nodes would get the result of what they followed."""

    home: Home
    new: NewWorkflow
    shape: Shape
    takes: Sequence[bool]


def start(canvas: Canvas) -> Any:
    """Enqueue a workflow; see `Canvas.apply_async`."""
    from .results import GroupResult, result_of

    prepared = prepare(canvas)
    if prepared is None:
        return GroupResult.of_nothing()
    home = prepared.home
    if home.store.start_workflow(prepared.new):
        home.started(prepared.new)
    return result_of(home, prepared.shape)


async def astart(canvas: Canvas) -> Any:
    """Enqueue a workflow from an event loop."""
    from .results import GroupResult, aresult_of

    prepared = prepare(canvas)
    if prepared is None:
        return GroupResult.of_nothing()
    home = prepared.home
    if await home.async_store.start_workflow(prepared.new):
        await home.astarted(prepared.new)
    return await aresult_of(home, prepared.shape)


def prepare(canvas: Canvas, workflow_id: str = "") -> Prepared | None:
    """Return a workflow ready to be sent; None if there is no task in it.

    Raises:
        InvalidTask: it cannot work; a task goes to another backend or app than the others.
    """
    if isinstance(canvas, Chord) and canvas.body is None:
        raise InvalidTask("A chord without a body can only be called with one: chord(header)(body).")
    expanded = expand(canvas)
    home = _home(expanded)
    if home is None:
        return None
    workflow_id = workflow_id or new_id(home.settings.tags)
    messages = _messages(home, workflow_id, expanded)
    shape = shape_of(workflow_id, expanded)
    nodes = [
        Node(message, _waits_for(workflow_id, planned.after), _then(planned))
        for planned, message in zip(expanded.nodes, messages, strict=True)
    ]
    fan_ins = [_fan_in(fan) for fan in expanded.fans]
    takes = [_takes(planned) and planned.after.gives != "empty" for planned in expanded.nodes[: shape.heads]]
    return Prepared(home, NewWorkflow(workflow_id, nodes, shape.heads, fan_ins, shape.plan()), shape, takes)


def _home(expanded: Expanded) -> Home | None:
    home: Home | None = None
    first: Signature | None = None
    for planned in expanded.nodes:
        signature = planned.signature
        if signature is None:
            continue
        if signature.origin is None:
            raise InvalidTask(f"{signature!r} came over the wire; look its task up to enqueue it.")
        here = signature.origin.home(signature)
        if home is None:
            home, first = here, signature
        elif here is not home and here != home:
            raise InvalidTask(
                f"{signature!r} goes to {here.label}, but {first!r} of the same workflow to {home.label}; all tasks of "
                "a workflow must go to one place."
            )
    return home


def _messages(home: Home, workflow_id: str, expanded: Expanded) -> Sequence[NewMessage]:
    messages: list[NewMessage] = []
    like: NewMessage | None = None
    hand_on: list[tuple[int, Part]] = []
    for planned in expanded.nodes:
        part = _part(workflow_id, planned)
        if planned.signature is None:
            hand_on.append((planned.number, part))
            messages.append(NewMessage(part.id, "", 0, b""))
            continue
        message = home.message_of(planned.signature, part)
        like = like or message
        messages.append(message)
    for number, part in hand_on:
        assert like is not None
        messages[number] = home.gathering(like, part)
    return messages


def _part(workflow_id: str, planned: Planned) -> Part:
    task_id = node_id(workflow_id, planned.number)
    cause, gives = planned.after
    takes = _takes(planned)
    before: tuple[Any, ...] = ([],) if gives == "empty" and takes else ()
    if cause is None:
        return Part(task_id, before=before)
    is_node = isinstance(cause, Planned)
    return Part(
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


def shape_of(workflow_id: str, expanded: Expanded) -> Shape:
    """Return the shape of what was expanded."""
    cause, gives = expanded.result
    result = ("e", 0)
    if isinstance(cause, Planned) and gives == "value":
        result = ("n", cause.number)
    elif isinstance(cause, Fan):
        result = ("g", cause.number)
    return Shape(
        workflow_id,
        len(expanded.nodes),
        sum(planned.after.cause is None for planned in expanded.nodes),
        {
            planned.number: (planned.followers[0].number, planned.followers[-1].number)
            for planned in expanded.nodes
            if planned.followers
        },
        [
            Join(
                [member.number for member in fan.members],
                sorted(one.number for one in fan.inside),
                fan.followers[0].number if fan.followers else 0,
                fan.followers[-1].number if fan.followers else -1,
            )
            for fan in expanded.fans
        ],
        result,
    )
