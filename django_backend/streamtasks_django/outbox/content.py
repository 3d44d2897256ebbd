"""Messages and workflows as bytes: JSON, and base64 for what is bytes in them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

from streamtasks.exceptions import DecodeError
from streamtasks.protocol.json import dumps, loads
from streamtasks.stores.types import Limit, NewMessage
from streamtasks.stores.workflow_types import FanIn, KnownResult, NewWorkflow, Node

__all__ = ["decode_message", "decode_workflow", "encode_message", "encode_workflow"]


def encode_message(message: NewMessage) -> bytes:
    """Return a message as bytes."""
    return dumps(_message(message))


def decode_message(data: bytes) -> NewMessage:
    """Return the message that `encode_message` was given.

    Raises:
        DecodeError: it is not one of this release.
    """
    try:
        return _message_of(loads(bytes(data)))
    except (KeyError, TypeError, ValueError) as error:
        raise DecodeError(f"This is not a message of the outbox: {error!r}.") from error


def encode_workflow(new: NewWorkflow) -> bytes:
    """Return a workflow as bytes."""
    return dumps(
        {
            "id": new.id,
            "nodes": [[_message(node.message), node.waits_for, node.then] for node in new.nodes],
            "heads": new.heads,
            "fan_ins": [one._asdict() for one in new.fan_ins],
            "plan": _text(new.plan),
            "known_results": [[one.field, _text(one.content)] for one in new.known_results],
        }
    )


def decode_workflow(data: bytes) -> NewWorkflow:
    """Return the workflow that `encode_workflow` was given.

    Raises:
        DecodeError: it is not one of this release.
    """
    try:
        read = loads(bytes(data))
        return NewWorkflow(
            read["id"],
            [Node(_message_of(message), waits_for, then) for message, waits_for, then in read["nodes"]],
            read["heads"],
            [FanIn(**one) for one in read["fan_ins"]],
            b64decode(read["plan"]),
            [KnownResult(field, b64decode(content)) for field, content in read["known_results"]],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DecodeError(f"This is not a workflow of the outbox: {error!r}.") from error


def _message(message: NewMessage) -> dict[str, Any]:
    fields = message._asdict()
    fields["envelope"] = _text(message.envelope)
    fields["limit"] = None if message.limit is None else list(message.limit)
    return fields


def _message_of(fields: dict[str, Any]) -> NewMessage:
    limit = fields["limit"]
    changed: dict[str, Any] = {
        "envelope": b64decode(fields["envelope"]),
        "limit": None if limit is None else Limit(*limit),
    }
    return NewMessage(**{**fields, **changed})


def _text(data: bytes) -> str:
    return b64encode(data).decode()
