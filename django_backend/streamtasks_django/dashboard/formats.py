"""Texts of times, spans and values, as the pages show them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final

__all__ = ["HIDDEN", "call_text", "moment", "span", "value_text"]

HIDDEN: Final = "hidden"
"""What stands in place of values that somebody may not see."""

_MOST: Final = 20_000


def moment(ms: int) -> str:
    """Return a time, ms since the epoch, as text in UTC; 0: "-"."""
    if not ms:
        return "-"
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") + " UTC"
    except (OverflowError, ValueError, OSError):  # a due time may be any integer
        return f"{ms} ms"


def span(ms: int) -> str:
    """Return a duration, ms, as text with two units; not positive: "-"."""
    if ms <= 0:
        return "-"
    seconds = ms // 1000
    if not seconds:
        return f"{ms} ms"
    parts = [(seconds // 86_400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")]
    first = next(place for place, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)


def value_text(value: Any, most: int = _MOST) -> str:
    """Return a value as it stands in code, integers exact, at most so many characters."""
    text = _repr(value, most)
    return text if len(text) <= most else f"{text[:most]}… (cut here)"


def call_text(args: Sequence[Any], kwargs: dict[str, Any], most: int = _MOST) -> str:
    """Return arguments as they stand in code, at most so many characters."""
    named = chain((("", value) for value in args), ((f"{name}=", value) for name, value in kwargs.items()))
    parts: list[str] = []
    length = 0
    for name, value in named:
        parts.append(name + _repr(value, most))
        length += len(parts[-1]) + 2
        if length > most + 2:
            break
    text = ", ".join(parts)
    return text if len(text) <= most else f"{text[:most]}… (cut here)"


def _repr(value: Any, most: int) -> str:
    """Return a value as it stands in code; of a long text no more than is shown, which is quicker."""
    return repr(value[: most + 1] if isinstance(value, str | bytes) else value)
