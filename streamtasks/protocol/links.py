"""Links: the signatures in an envelope that name what follows a task.

A signature on the wire is a JSON object, whose keys `tasks.signature_wire.encode_signature` lists. Envelopes and stored
schedules hold them; this module checks them without knowing any task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..exceptions import DecodeError, InvalidTask
from .call_fields import GROUPS, are_call_fields
from .keys import check_id, check_queue
from .validation import is_number

__all__ = ["GATHER", "START", "are_resolved", "check_signature", "result_id"]

GATHER: Final = "streamtasks.gather"
"""The task of a workflow's nodes that return the list they receive; every worker has it."""

START: Final = "streamtasks.start"
"""The task that starts a linked workflow; every worker has it."""


def result_id(link: Mapping[str, Any]) -> str:
    """Return the id under which the result of an encoded link is stored; empty if it has none."""
    if link.get("task") == START:
        [packed] = link["args"]
        return str(packed["result"])
    return str(link.get("id") or "")


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_whole(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_seconds(value: Any) -> bool:
    return is_number(value) and value >= 0


def _is_limit(value: Any) -> bool:
    return (
        type(value) is list
        and len(value) == 3
        and type(value[0]) is str
        and all(type(number) is int and number > 0 for number in value[1:])
    )


def _are_signatures(value: Any) -> bool:
    return type(value) is list and all(_is_signature(one) for one in value)


_NEEDED: Final[dict[str, Callable[[Any], bool]]] = {
    "task": _is_text,
    "args": lambda value: type(value) is list,
    "kwargs": lambda value: type(value) is dict,
    "immutable": lambda value: type(value) is bool,
}
_OPTIONAL: Final[dict[str, Callable[[Any], bool]]] = {
    "id": lambda value: _passes(check_id, value),
    "queue": lambda value: _passes(check_queue, value),
    "priority": lambda value: type(value) is int and -100 <= value <= 100,
    "limit": _is_limit,
    "delay_s": _is_seconds,
    "due_ms": _is_whole,
    "expires_s": _is_seconds,
    "expires_ms": _is_whole,
    "h": lambda value: type(value) is dict,
    "ok": _are_signatures,
    "er": _are_signatures,
}


def check_signature(wire: Any) -> None:
    """Check that a decoded value is a signature; keys of a later release are accepted.

    Raises:
        DecodeError: it is not one.
    """
    if type(wire) is not dict:
        raise DecodeError(f"not a signature: {str(wire)[:80]}")
    for checks, needed in ((_NEEDED, True), (_OPTIONAL, False)):
        for name, is_right in checks.items():
            if name not in wire:
                if needed:
                    raise DecodeError(f"a signature lacks {name!r}: {str(wire)[:80]}")
            elif not is_right(wire[name]):
                raise DecodeError(f"a signature's {name!r} is {str(wire[name])[:80]}")
    if not are_call_fields(wire):
        raise DecodeError(f"a signature holds wrong values in {' or '.join(map(repr, GROUPS))}: {str(wire)[:80]}")


def are_resolved(value: Any) -> bool:
    """Return whether a value is a list of encoded signatures that all have an id, as an envelope must hold them."""
    return type(value) is list and all(
        _is_signature(one) and "id" in one and are_resolved(one.get("ok", [])) and are_resolved(one.get("er", []))
        for one in value
    )


def _is_signature(wire: Any) -> bool:
    try:
        check_signature(wire)
    except DecodeError:
        return False
    return True


def _passes(check: Callable[[Any], Any], value: Any) -> bool:
    try:
        check(value)
    except InvalidTask:
        return False
    return True
