"""How log records are written: as lines for people, or as JSON."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any, Final, override

from streamtasks.protocol.printable import plain_json

from .log_records import INTERRUPTS, TASK_FIELDS

__all__ = ["JSON", "TEXT", "JsonFormatter", "TextFormatter"]

TEXT: Final = "text"
JSON: Final = "json"

_CONTROL: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that move the cursor of a terminal or change the order of its text, and halves of characters, which no
file takes; tabs and ends of lines may stay."""

_is_doubtful: Final = re.compile(r"\\ud|NaN|Infinity").search
"""Finds what may be half of a character, or a number that is none, in JSON: not every reader accepts them."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", *TASK_FIELDS}
"""Attributes of records that are no fields of ``extra``."""


class TextFormatter(logging.Formatter):
    """Lines for people. What a terminal would obey is escaped, wherever it comes from: arguments of users, errors."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line, with its traceback behind it."""
        return _CONTROL.sub(_escaped, super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``, the task's fields if one runs, what was
    given as ``extra``, and ``traceback``.
    """

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a JSON object."""
        found: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        fields = vars(record)
        found |= {name: value for name in TASK_FIELDS if (value := fields.get(name)) not in ("", None)}
        found |= {name: value for name, value in fields.items() if name not in _STANDARD and name not in found}
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            found["traceback"] = record.exc_text
        if record.stack_info:
            found["stack"] = self.formatStack(record.stack_info)
        try:
            text = json.dumps(found, default=_text, skipkeys=True)
            return json.dumps(plain_json(json.loads(text))) if _is_doubtful(text) else text
        except (ValueError, RecursionError):  # it contains itself
            return json.dumps({name: plain_json(_text(value)) for name, value in found.items()})


def _message(record: logging.LogRecord) -> str:
    """Return the message of a record; without its arguments where these do not fit: it must become JSON anyway."""
    try:
        return record.getMessage()
    except INTERRUPTS:
        raise
    except Exception as error:  # noqa: BLE001 - arguments and their texts are anybody's
        return f"{_text(record.msg)} ({type(error).__name__} while it was formatted)"


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _text(value: object) -> str:
    try:
        return str.__str__(str(value))
    except INTERRUPTS:
        raise
    except Exception:  # noqa: BLE001 - a log line must not fail for one of its fields
        return f"<{type(value).__name__} whose str() fails>"
