"""Workflows as links: a chain, group or chord that runs after a task has succeeded, or finally failed.

The producer prepares the whole workflow, with its ids. The link is a call of the task `START`, which every worker has,
with the workflow as its argument. It is accepted with the outcome, as any link is, and starts the workflow; starting it
twice does nothing.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from ..exceptions import DecodeError, InvalidTask
from ..protocol.links import START
from ..protocol.message import Message
from ..protocol.shards import new_id, node_id
from ..protocol.wire import Wire
from ..stores.owner import Owner
from ..stores.types import Limit, NewMessage
from ..stores.workflow_types import FanIn, NewWorkflow, Node
from ..tasks.position import Position
from ..tasks.signature import CallOptions, Signature
from .plan import CompositeStep
from .start import Prepared, prepare

__all__ = ["Linked", "linked", "workflow_of_call"]

_NO_LIMIT: Final = 1 << 40
"""Most bytes of a first node: no limit, for the node and the result that it receives were checked before."""


class Linked:
    """A workflow as the origin of a link's signature; see `Origin`."""

    name = START

    def __init__(self, workflow: CompositeStep) -> None:
        self.workflow = workflow

    def resolve(self, signature: Signature, tag: str) -> Signature:
        """See `Origin.resolve`: the whole workflow becomes its argument."""
        prepared = self._prepared(new_id((tag,)))
        first = prepared.new.nodes[0].message
        call = CallOptions(task_id=new_id((tag,)), queue=first.queue, priority=first.priority)
        return replace(signature, args=(_packed(prepared),), options=call, origin=None)

    def apply_async(self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """See `Origin.apply_async`."""
        return self.workflow.apply_async(args, kwargs, **options)

    async def aapply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """See `Origin.aapply_async`."""
        return await self.workflow.aapply_async(args, kwargs, **options)

    def node_message(self, signature: Signature, position: Position) -> NewMessage:  # noqa: ARG002
        """See `Origin.node_message`: only links hold this signature, so it is never a node."""
        raise InvalidTask(f"{signature!r} starts a workflow; it can only be a link.")

    def owner_of(self, signature: Signature) -> Owner:  # noqa: ARG002
        """See `Origin.owner_of`."""
        return self._prepared().owner

    def _prepared(self, workflow_id: str = "") -> Prepared:
        prepared = prepare(self.workflow, workflow_id)
        if prepared is None:
            raise InvalidTask("link: a workflow without any task; leave it out.")
        return prepared


def linked(workflow: CompositeStep) -> Signature:
    """Return the call that starts a workflow."""
    return Signature(START, origin=Linked(workflow))


def _packed(prepared: Prepared) -> dict[str, Any]:
    """Return a workflow as a JSON object. ``takes``: which of its first nodes receive the result that it follows."""
    new, graph = prepared.new, prepared.graph
    kind, number = graph.result
    return {
        "id": new.id,
        "result": node_id(new.id, number) if kind == "n" else new.id,
        "heads": new.heads,
        "takes": [int(takes) for takes in prepared.takes],
        "plan": _packed_bytes(new.plan),
        "fans": [list(fan) for fan in new.fan_ins],
        "nodes": [_packed_node(node) for node in new.nodes],
    }


def _packed_node(node: Node) -> list[Any]:
    of = node.message
    envelope = _packed_bytes(of.envelope)
    limit = None if of.limit is None else list(of.limit)
    times = of.due_ms, of.delay_ms, of.expires_ms, of.expires_in_ms
    return [envelope, of.queue, of.priority, times, limit, node.waits_for, node.then]


def _packed_bytes(data: bytes) -> Any:
    """Return bytes as a JSON value: as text if they are a JSON object, else as a list with their base64."""
    return data.decode() if data[:1] == b"{" else [b64encode(data).decode()]


def _bytes(packed: Any) -> bytes:
    """Undo `_packed_bytes`."""
    return packed.encode() if isinstance(packed, str) else b64decode(packed[0])


def workflow_of_call(call: Message, wire: Wire) -> NewWorkflow:
    """Return the workflow that a call of `START` shall start. Its first nodes get what stands before it in the call.

    Raises:
        DecodeError: the call is not one of ours.
    """
    try:
        *before, packed = call.args
        workflow_id = packed["id"]
        nodes = [_node(node_id(workflow_id, number), node) for number, node in enumerate(packed["nodes"])]
        for number, takes in enumerate(packed["takes"]):
            nodes[number] = _started_by(call, nodes[number], before if takes else (), wire)
        fans = [FanIn(*fan) for fan in packed["fans"]]
        return NewWorkflow(workflow_id, nodes, packed["heads"], fans, _bytes(packed["plan"]))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DecodeError(f"not a workflow to start: {error!r}") from error


def _node(task_id: str, packed: Sequence[Any]) -> Node:
    envelope, queue, priority, (due_ms, delay_ms, expires_ms, expires_in_ms), limit, waits_for, then = packed
    message = NewMessage(
        task_id,
        queue,
        priority,
        _bytes(envelope),
        due_ms,
        delay_ms,
        None if limit is None else Limit(*limit),
        expires_ms=expires_ms,
        expires_in_ms=expires_in_ms,
    )
    return Node(message, waits_for, then)


def _started_by(call: Message, node: Node, before: Sequence[Any], wire: Wire) -> Node:
    message = Message.decode(node.message.envelope, wire, node.message.id)
    message = replace(message, args=[*before, *message.args], parent_id=call.parent_id, root_id=call.root_id)
    return node._replace(message=node.message._replace(envelope=message.encode(_NO_LIMIT, wire)))
