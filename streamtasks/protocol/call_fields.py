"""Per-call options that an envelope and a signature carry in the same way: one row each.

A row is all that encoding, decoding and checking need. A new option of this kind is a row here, a field of
`protocol.message.Message` and a field of `tasks.signature.CallOptions`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from .validation import is_seconds

__all__ = ["CALL_FIELDS", "GROUPS", "CallField", "are_call_fields"]


class CallField(NamedTuple):
    """One option.

    Attributes:
        option: its name in `CallOptions`.
        attribute: its name in `Message`.
        group: the JSON key of the object that holds it.
        key: its JSON key in that object.
        is_valid: whether a decoded value other than None is acceptable.
    """

    option: str
    attribute: str
    group: str
    key: str
    is_valid: Callable[[Any], bool]


CALL_FIELDS: Final = (
    CallField("max_retries", "max_retries", "r", "max", lambda value: type(value) is int),
    CallField("default_retry_delay", "retry_delay_s", "r", "delay", is_seconds),
    CallField("soft_time_limit", "soft_limit_s", "l", "soft", is_seconds),
    CallField("time_limit", "hard_limit_s", "l", "hard", is_seconds),
    CallField("ignore_result", "ignore_result", "o", "ignore", lambda value: type(value) is bool),
)
GROUPS: Final = tuple(dict.fromkeys(one.group for one in CALL_FIELDS))
"""The JSON keys of all groups."""


def are_call_fields(body: Mapping[str, Any]) -> bool:
    """Return whether the groups of a decoded envelope or signature hold values of the right types."""
    for group in GROUPS:
        if group in body and type(body[group]) is not dict:
            return False
    for one in CALL_FIELDS:
        if one.group in body:
            value = body[one.group].get(one.key)
            if value is not None and not one.is_valid(value):
                return False
    return True
