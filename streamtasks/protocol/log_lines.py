"""Lines that attempts have logged or printed, as they are kept with their task: a JSON array each, and a line end."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

__all__ = ["NO_LOGS", "LogLine", "TaskLogs", "decode_lines", "encode_line", "shortened"]


class LogLine(NamedTuple):
    """A line that an attempt has logged or printed.

    Attributes:
        at_ms: when, ms since the epoch by the clock of the worker's machine.
        attempt: its number, from 1.
        level: of the log record; empty: it was printed.
        source: name of the logger; ``"stdout"`` or ``"stderr"``: it was printed there.
        text: the message, with the traceback behind it; it may have line ends and control characters.
    """

    at_ms: int
    attempt: int
    level: str
    source: str
    text: str


class TaskLogs(NamedTuple):
    """What the attempts of a task have logged and printed.

    Attributes:
        first: the first lines.
        left_out: how many lines behind these were dropped, because there were too many.
        last: the last lines, if they are not among the first.
    """

    first: list[LogLine]
    left_out: int
    last: list[LogLine]

    @property
    def lines(self) -> list[LogLine]:
        """All lines that are kept, oldest first."""
        return self.first + self.last

    @property
    def total(self) -> int:
        """How many lines there have been, those that were dropped included."""
        return len(self.first) + self.left_out + len(self.last)

    def after(self, known: int) -> tuple[int, list[LogLine]]:
        """Return what has come behind so many lines: how many were dropped, and then the lines."""
        if known < len(self.first):
            return 0, self.first[known:]  # ask again: what was dropped comes next
        known_last = max(0, known - len(self.first) - self.left_out)
        return max(0, len(self.first) + self.left_out - known), self.last[known_last:]


NO_LOGS: Final = TaskLogs([], 0, [])


def encode_line(line: LogLine, most_bytes: int) -> bytes:
    """Return a line as it is kept, in at most so many bytes: of a long text the beginning and the end."""
    text = line.text
    most = most_bytes // 2
    while True:
        data = _encoded(line._replace(text=shortened(text, most)))
        if len(data) <= most_bytes or most < 32:
            return data
        most //= 3  # characters take several bytes, control characters six


def shortened(text: str, most: int) -> str:
    """Return a text of about so many characters: the beginning, the end, and how many were left out between them."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} [{len(text) - 2 * half} characters left out] {text[-half:]}"


def _encoded(line: LogLine) -> bytes:
    try:
        return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    except UnicodeEncodeError:  # half of a character
        return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def decode_lines(data: bytes) -> list[LogLine]:
    """Return lines that were kept; what is none is shown as it is."""
    return [_decoded(line) for line in data.split(b"\n") if line]


def _decoded(data: bytes) -> LogLine:
    try:
        found: Any = json.loads(data)
        at_ms, attempt, level, source, text = found
        return LogLine(int(at_ms), int(attempt), str(level), str(source), str(text))
    except (ValueError, TypeError):
        return LogLine(0, 0, "", "", data.decode(errors="backslashreplace"))
