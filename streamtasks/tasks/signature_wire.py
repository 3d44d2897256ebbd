"""Signatures as JSON objects, as links in envelopes and stored schedules hold them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..exceptions import DecodeError, InvalidTask
from ..protocol.call_fields import CALL_FIELDS
from ..protocol.links import check_signature
from ..stores.types import Limit
from .options import seconds
from .signature import CallOptions, Signature

__all__ = ["decode_signature", "encode_signature"]


def encode_signature(signature: Signature) -> dict[str, Any]:
    """Return a signature as a JSON object.

    ``task``, ``args``, ``kwargs``, ``immutable``; and where set ``id``, ``queue``, ``priority``, ``limit``
    (name, interval in us, burst), ``delay_s`` or ``due_ms``, ``expires_s`` or ``expires_ms``, and as in an
    envelope `CALL_FIELDS`, ``h`` (headers), ``ok`` and ``er`` (links).
    """
    call = signature.options
    due_ms, delay_ms = call.due()
    absolute = isinstance(call.expires, datetime)
    more: dict[str, Any] = {
        "id": call.task_id,
        "queue": call.queue,
        "priority": call.priority,
        "limit": list(signature.limit) if signature.limit is not None else None,
        "delay_s": delay_ms / 1000 if delay_ms is not None else None,
        "due_ms": due_ms,
        "expires_s": None if absolute else seconds(call.expires),
        "expires_ms": call.expiry()[0] if absolute else None,
        "h": dict(call.headers) or None,
        "ok": [encode_signature(link) for link in call.link] or None,
        "er": [encode_signature(link) for link in call.link_error] or None,
    }
    wire: dict[str, Any] = {
        "task": signature.task,
        "args": list(signature.args),
        "kwargs": dict(signature.kwargs),
        "immutable": signature.immutable,
        **{name: value for name, value in more.items() if value is not None},
    }
    for one in CALL_FIELDS:
        value = getattr(call, one.option)
        if value is not None:
            wire.setdefault(one.group, {})[one.key] = value
    return wire


def decode_signature(wire: Any) -> Signature:
    """Read what `encode_signature` returned; its origin is None.

    Raises:
        DecodeError: it is something else.
    """
    check_signature(wire)
    given: dict[str, Any] = {
        "task_id": wire.get("id"),
        "queue": wire.get("queue"),
        "priority": wire.get("priority"),
        "countdown": wire.get("delay_s"),
        "eta": _moment(wire.get("due_ms")),
        "expires": _moment(wire.get("expires_ms")) or wire.get("expires_s"),
        "headers": wire.get("h") or {},
        "link": tuple(decode_signature(one) for one in wire.get("ok") or ()),
        "link_error": tuple(decode_signature(one) for one in wire.get("er") or ()),
    }
    for one in CALL_FIELDS:
        if one.group in wire:
            given[one.option] = wire[one.group].get(one.key)
    limit = wire.get("limit")
    try:
        call = CallOptions(**given)
    except InvalidTask as error:
        raise DecodeError(f"a signature holds a wrong value: {error}") from error
    return Signature(
        wire["task"],
        tuple(wire["args"]),
        wire["kwargs"],
        call,
        wire["immutable"],
        Limit(*limit) if limit is not None else None,
    )


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
