"""Resolved signatures: they have all options of their message, so that a worker can enqueue it without their task."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..protocol.call_fields import CALL_FIELDS
from ..protocol.message import Message
from ..protocol.wire import Wire
from ..stores.types import Limit, NewMessage
from .signature import CallOptions, Signature
from .signature_wire import decode_signature, encode_signature

__all__ = ["NO_LIMIT", "link_message", "resolve_signature"]

NO_LIMIT: Final = 1 << 40
"""Most bytes of a message whose parts were checked before: no limit."""


def resolve_signature(signature: Signature, message: Message, call: CallOptions, limit: Limit | None) -> Signature:
    """Return a signature with the options of its message, ready for a worker to run."""
    call = replace(
        call,
        task_id=message.id,
        queue=message.queue,
        priority=message.priority,
        headers=message.headers,
        link=tuple(map(decode_signature, message.links)),
        link_error=tuple(map(decode_signature, message.error_links)),
    )
    return replace(signature, args=tuple(message.args), kwargs=message.kwargs, options=call, limit=limit, origin=None)


def link_message(signature: Signature, message: Message, wire: Wire) -> NewMessage:
    """Return the message of a resolved signature, to be accepted now.

    Args:
        signature: a result of `resolve_signature`.
        message: gives the id, arguments and lineage, and the queue and priority where the signature has none.
        wire: encodes the message.
    """
    options = signature.options
    due_ms, delay_ms = options.due()
    expires_ms, expires_in_ms = options.expiry()
    message = replace(
        message,
        queue=options.queue or message.queue,
        priority=message.priority if options.priority is None else options.priority,
        expires_ms=expires_ms,
        expires_in_ms=expires_in_ms,
        due_ms=due_ms or message.due_ms,
        links=[encode_signature(one) for one in options.link],
        error_links=[encode_signature(one) for one in options.link_error],
        **{one.attribute: getattr(options, one.option) for one in CALL_FIELDS},
    )
    return NewMessage(
        message.id,
        message.queue,
        message.priority,
        message.encode(NO_LIMIT, wire),
        due_ms,
        delay_ms,
        signature.limit,
        expires_ms=expires_ms,
        expires_in_ms=expires_in_ms,
    )
