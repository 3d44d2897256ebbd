"""Encode and decode JSON, the border that arguments and results cross.

A value means what ``json.loads(json.dumps(value))`` makes of it. orjson is several times faster but
not the same: it turns NaN into null, refuses integers past 64 bits, non-string keys and lone
surrogates, and reads large integers as floats. So a value goes through orjson only if it comes back
equal; any other takes the standard library's path, marked by a leading ``~``. Keys that are no strings are refused:
the standard library would write them as text, and lose one of ``1`` and ``"1"``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson

from ..exceptions import DecodeError, InvalidKey, InvalidTask

__all__ = ["dumps", "invalid_key", "loads", "plain"]

_STDLIB = b"~"


def plain(value: Any) -> bytes | None:
    """Encode a value by orjson; None: that cannot, or would change it."""
    try:
        fast = orjson.dumps(value)
        return fast if orjson.loads(fast) == value else None
    except (TypeError, ValueError, RecursionError):
        return None


def dumps(value: Any) -> bytes:
    """Encode a value.

    Raises:
        InvalidTask: JSON cannot carry it (the message says which type).
        InvalidKey: a key is not a string.
    """
    fast = plain(value)
    if fast is not None:
        return fast
    # The standard library decides, and its error names the type.
    try:
        data = _STDLIB + json.dumps(value, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidTask(
            f"JSON cannot carry this value: {error}. Pass ids, strings, numbers, lists and dicts instead."
        ) from error
    _check_keys(value)
    return data


def _check_keys(value: Any) -> None:
    """Check the keys of all dicts in a value without cycles; not by recursion, which has a limit."""
    left: list[tuple[tuple[Any, ...], Any]] = [((), value)] if isinstance(value, (dict, list, tuple)) else []
    while left:
        path, one = left.pop()
        if isinstance(one, dict):
            for key in one:
                if not isinstance(key, str):
                    raise invalid_key("this value", path, key)
        items = one.items() if isinstance(one, dict) else enumerate(one)
        left += (((*path, key), inner) for key, inner in items if isinstance(inner, (dict, list, tuple)))


def invalid_key(whole: str, path: Sequence[object], key: object, task: str = "") -> InvalidKey:
    """Return the error of a key.

    Args:
        whole: what the path starts at.
        path: keys and positions that lead to the dict.
        key: the key.
        task: whose argument or result it is.
    """
    place = whole + "".join(f"[{step!r}]" for step in path) + (f" of task {task}" if task else "")
    return InvalidKey(
        f"JSON has only strings as keys: {place} has the key {key!r}. Pass a dict with str() of its keys, or a list of "
        "pairs.",
        tuple(path),
        key,
    )


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
