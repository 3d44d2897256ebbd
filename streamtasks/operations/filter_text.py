"""Read a filter from a text: the one grammar of command line, dashboard and bulk operations.

``state:failed queue:mails task:shop.mail arg.user=7 since:1h "not found"``. Terms stand between spaces, and a task must
be as all of them say. A term is ``key:value`` (or ``key=value``), or a text that is looked for. Quotes, as in JSON,
hold a value together that has spaces in it; the values of ``arg.NAME`` and ``header.NAME`` are JSON, or a text.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from ..exceptions import InvalidTask
from .filters import DEAD, TaskFilter

__all__ = ["KEYS", "MOST_TEXT", "argument_value", "parse_filter", "parse_time"]

KEYS: Final = ("state", "queue", "task", "name", "outcome", "error", "worker", "id", "since", "until", "arg", "header")
"""What terms begin with; ``name`` is another word for ``task``, and ``arg`` and ``header`` stand before ``.NAME``."""

MOST_TEXT: Final = 10_000
"""A filter has at most so many characters."""

_KEY: Final = re.compile(r'(arg|header)\.("(?:[^"\\]|\\.)*"|[^\s:="]+)[:=]|([A-Za-z_]\w*(?:\.\w+)?)[:=]', re.ASCII)
_SPACE: Final = re.compile(r"\s*")
_BARE: Final = re.compile(r"\S*")
_AGO: Final = re.compile(r"(?:\d{1,12}(?:ms|[smhdw]))+", re.ASCII)
_PART: Final = re.compile(r"(\d+)(ms|[smhdw])", re.ASCII)
_UNITS_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
_SINCE_EPOCH: Final = re.compile(r"\d{12,16}", re.ASCII)
_DECODER: Final = json.JSONDecoder()
_FIELDS: Final = {"name": "task", "since": "since_ms", "until": "until_ms"}
_MAPS: Final = {"arg": "args", "header": "headers"}


def parse_filter(text: str, state: str = "", clock: Callable[[], int] | None = None) -> TaskFilter:
    """Return the filter that a text describes; the empty text means every task in the state.

    Args:
        text: see the module; `TaskFilter.text` is one.
        state: if the text names none. Empty: ``finished`` if it names an outcome, ``failed`` if it names an error, else
            ``queued``.
        clock: returns the time by the clock of the store, ms since the epoch, for times as ``1h``, which are so long
            ago; None: the clock of this process.

    Raises:
        InvalidTask: the text is no filter; the message says which term is wrong and what to write.
        UnknownQueue: the queue cannot be one.
    """
    if len(text) > MOST_TEXT:
        raise InvalidTask(f"The filter has {len(text)} characters; at most {MOST_TEXT} are read.")
    found: dict[str, Any] = {}
    maps: dict[str, Any] = {"args": {}, "headers": {}}
    words: list[str] = []
    place = _SPACE.match(text).end()  # type: ignore[union-attr] # it always matches
    while place < len(text):
        key = _KEY.match(text, place)
        raw, behind = _value(text, place if key is None else key.end())
        whole = text[place:behind]
        if key is None:
            words.append(_plain(raw))
        elif key[1]:
            values = maps[_MAPS[key[1]]]
            _put(values, _plain(key[2]), argument_value(raw), whole)
        else:
            name = key[3]
            if name not in KEYS or name in _MAPS:
                raise InvalidTask(
                    f"The filter has {whole!r}, and there is no key {name!r}: write one of {', '.join(KEYS[:-2])}, "
                    f"arg.NAME, header.NAME, or put it in quotes to look for the text: {json.dumps(whole)}."
                )
            value: Any = _plain(raw)
            if name in ("since", "until"):
                value = parse_time(value, clock)
            elif name == "outcome":
                value = value.upper()
            _put(found, _FIELDS.get(name, name), value, whole)
        place = _SPACE.match(text, behind).end()  # type: ignore[union-attr]
    if "state" not in found:
        found["state"] = state or ("finished" if "outcome" in found else "failed" if "error" in found else "queued")
    if found["state"] == DEAD and "outcome" in found:
        raise InvalidTask("Dead letters have no outcome; leave the outcome out, or look for state:finished.")
    return TaskFilter(words=tuple(words), **found, **maps).check()


def parse_time(text: str, clock: Callable[[], int] | None = None) -> int:
    """Return a time, ms since the epoch: a date and time of ISO 8601, UTC if it names no zone, or so long ago.

    Args:
        text: as ``2026-11-28T06:00``, ``2026-11-28``, ``90s``, ``1h30m``, ``2d``, or ms since the epoch.
        clock: see `parse_filter`.

    Raises:
        InvalidTask: it is no time.
    """
    if _AGO.fullmatch(text):
        ago_ms = sum(int(count) * _UNITS_MS[unit] for count, unit in _PART.findall(text))
        return max(1, (clock() if clock is not None else time.time_ns() // 1_000_000) - ago_ms)
    if _SINCE_EPOCH.fullmatch(text):
        return int(text)
    with suppress(ValueError, OverflowError):
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return max(1, round(at.timestamp() * 1000))
    raise InvalidTask(f"{text!r} is no time; write 2026-11-28T06:00, or so long ago: 90s, 15m, 1h, 2d.")


def argument_value(raw: str) -> Any:
    """Return the value of an argument as it is given: JSON, or else a text."""
    with suppress(ValueError, RecursionError):
        return json.loads(raw)
    return raw


def _value(text: str, start: int) -> tuple[str, int]:
    """Return the value that begins at a place as it is written, and the place behind it."""
    first = text[start : start + 1]
    if first in ('"', "[", "{"):
        with suppress(ValueError, RecursionError):
            behind = _DECODER.raw_decode(text, start)[1]
            if behind == len(text) or text[behind].isspace():
                return text[start:behind], behind
        if first == '"':
            raise InvalidTask(
                f"The filter has {text[start : start + 40]!r}: end the quotes, and write a space behind them; within "
                'them \\" stands for quotes.'
            )
    behind = _BARE.match(text, start).end()  # type: ignore[union-attr] # it always matches
    if behind == start:
        found = text[max(0, start - 40) : start]
        raise InvalidTask(f'The filter has {found!r} without a value; write "" for an empty one.')
    return text[start:behind], behind


def _plain(raw: str) -> str:
    """Return the text of a value."""
    return str(json.loads(raw)) if raw.startswith('"') else raw


def _put(values: dict[str, Any], name: str, value: Any, term: str) -> None:
    if name in values:
        raise InvalidTask(f"The filter has {term!r}, and names the same before; a task must be as all terms say.")
    values[name] = value
