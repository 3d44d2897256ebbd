"""Encode and decode JSON, the border that arguments and results cross.

A value means what ``json.loads(json.dumps(value))`` makes of it. orjson is several times faster but
not the same: it turns NaN into null, refuses integers past 64 bits, non-string keys and lone
surrogates, and reads large integers as floats. So a value goes through orjson only if it comes back
equal; any other takes the standard library's path, marked by a leading ``~``.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from ..exceptions import DecodeError, InvalidTask

__all__ = ["dumps", "loads"]

_STDLIB = b"~"


def dumps(value: Any) -> bytes:
    """Encode a value.

    Raises:
        InvalidTask: JSON cannot carry it (the message says which type).
    """
    try:
        fast = orjson.dumps(value)
        if orjson.loads(fast) == value:
            return fast
    except (TypeError, ValueError, RecursionError):
        pass  # the standard library decides, and its error names the type
    try:
        return _STDLIB + json.dumps(value, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidTask(
            f"JSON cannot carry this value: {error}. Pass ids, strings, numbers, lists and dicts instead."
        ) from error


def loads(data: bytes) -> Any:
    """Decode what `dumps` returned.

    Raises:
        DecodeError: the bytes are not JSON.
    """
    try:
        if data[:1] == _STDLIB:
            return json.loads(data[1:])
        return orjson.loads(data)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"not JSON: {data[:80]!r} ({error})") from error
