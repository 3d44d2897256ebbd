"""Texts that are safe to show, wherever they come from: names, arguments, errors, lines of logs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["clean", "plain_json"]


def clean(text: str) -> str:
    """Return a text in which what cannot be printed is escaped: control characters, line ends, marks of direction."""
    return text if text.isprintable() else _OTHERS.sub(_escaped, text)


_OTHERS: Final = re.compile(r"[^ -~]+")
"""What may have to be escaped. The rest, which is most of a long text, is not looked at one by one."""


def _escaped(found: re.Match[str]) -> str:
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in found[0])


def plain_json(value: Any) -> Any:
    """Return a JSON value that every reader accepts: numbers that are none, and halves of characters, become texts."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, Mapping):
        return {plain_json(key): plain_json(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(one) for one in value]
    return value
