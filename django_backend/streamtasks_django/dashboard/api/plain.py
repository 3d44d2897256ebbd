"""Values of tasks as JSON that every reader takes: exact integers, no NaN, bounded depth."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["SAFE", "encode", "plain"]

SAFE: Final = 2**53 - 1
"""Readers that know only floats, such as JavaScript's, take integers up to this one exactly."""

_DEEPEST: Final = 200
_MOST_BITS: Final = 8_000
"""Python writes longer integers as decimals only if it is told so; they stand as hexadecimal text."""


def encode(value: Any, *, as_text: bool) -> bytes:
    """Return a value as JSON.

    Args:
        value: any value.
        as_text: write integers past `SAFE` as strings.
    """
    return json.dumps(plain(value, as_text=as_text), separators=(",", ":"), allow_nan=False).encode("ascii")


def plain(value: Any, *, as_text: bool = False, depth: int = 0) -> Any:
    """Return a value made of JSON's types only; what is none becomes text."""
    if value is None or isinstance(value, bool | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        if value.bit_length() > _MOST_BITS:
            return f"{value:#x}"
        return str(int(value)) if as_text and abs(value) > SAFE else int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if depth >= _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): plain(one, as_text=as_text, depth=depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one, as_text=as_text, depth=depth + 1) for one in value]
    return repr(value)
