"""Write values of the transitions' state as JSON, and read only the classes that belong there."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import fields, is_dataclass
from typing import Any, Final

from streamtasks.exceptions import DecodeError
from streamtasks.protocol.json import dumps, loads
from streamtasks.protocol.state import DeadLetter
from streamtasks.stores.memory.state import FanInState, Schedule, WorkflowState
from streamtasks.stores.rules.rate_limits import LimitState
from streamtasks.stores.types import Limit
from streamtasks.stores.workflow_types import FanIn

__all__ = ["decode", "encode"]

_CLASSES: Final[dict[str, Any]] = {
    one.__name__: one for one in (DeadLetter, FanIn, FanInState, Limit, LimitState, Schedule, WorkflowState)
}
_LEFT_OUT: Final = frozenset({"wire", "fields"})
"""Of a dead letter, what the reader sets; of a workflow, what has rows of its own."""


def encode(value: Any) -> bytes:
    """Encode a value."""
    return dumps(_plain(value))


def decode(data: bytes) -> Any:
    """Decode a value.

    Raises:
        DecodeError: the bytes are none of ours.
    """
    return _value(loads(data))


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytes):
        return {"b": b64encode(value).decode()}
    name = type(value).__name__
    if name in _CLASSES:
        names = [one.name for one in fields(value)] if is_dataclass(value) else value._fields
        return {"c": name, "f": {one: _plain(getattr(value, one)) for one in names if one not in _LEFT_OUT}}
    if isinstance(value, dict):
        return {"d": [[_plain(key), _plain(one)] for key, one in value.items()]}
    if isinstance(value, tuple):
        return {"t": [_plain(one) for one in value]}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return {"n": repr(value)}
    raise TypeError(f"{type(value).__name__} cannot be kept: {value!r}")


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_value(one) for one in plain]
    if not isinstance(plain, dict):
        return plain
    match plain:
        case {"b": text}:
            return b64decode(text)
        case {"c": name, "f": found} if name in _CLASSES:
            return _CLASSES[name](**{key: _value(one) for key, one in found.items()})
        case {"d": pairs}:
            return {_value(key): _value(one) for key, one in pairs}
        case {"t": members}:
            return tuple(_value(one) for one in members)
        case {"n": number}:
            return float(number)
        case _:
            raise DecodeError(f"not a value of this release: {str(plain)[:80]}")
