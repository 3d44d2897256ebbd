"""Keep what attempts log and print: a child puts the lines into its ring, from which the keeper takes them.

A line costs a few microseconds and no system call. An attempt that logs nothing costs nothing.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from functools import wraps
from typing import Any, Final

from streamtasks.protocol.log_lines import LogLine, encode_line, shortened
from streamtasks.stores.rules.bounded_log import BoundedLog
from streamtasks.tasks.attempt import Attempt, running_attempt

from .fork_guard import is_copy
from .log_records import INTERRUPTS
from .log_ring import LogEntry, LogRing

__all__ = ["AttemptLines", "LogCapture", "watch_stream"]

MOST_LINE: Final = 16 * 1024
"""Bytes of a line; of a longer one the beginning and the end are kept."""

MOST_WAITING: Final = 128 * 1024
"""Bytes of an attempt's lines that wait until there is room in the ring."""

WAIT_S: Final = 0.06
"""An attempt that has logged more than the ring holds waits so long at its end, seconds, for its last lines."""

_mute = threading.local()  # while handlers of logs run: what they print was kept as a record


class AttemptLines:
    """The lines of one attempt: those that wait for room, and the ends of prints that are no lines yet."""

    __slots__ = ("_begun", "_capture", "_id", "_number", "_waiting")

    def __init__(self, capture: LogCapture, attempt: Attempt) -> None:
        self._capture = capture
        self._id = attempt.id
        self._number = attempt.number
        self._waiting: BoundedLog | None = None
        self._begun: dict[str, str] = {}

    def add(self, level: str, source: str, text: str, at_s: float) -> None:
        """Keep a line."""
        capture = self._capture
        data = encode_line(LogLine(round(at_s * 1000), self._number, level, source, text), capture.most_line)
        with capture.ring.lock:
            if self._goes_out() and capture.ring.write(LogEntry(self._id, 0, data)):
                return
            if self._waiting is None:
                self._waiting = BoundedLog(min(capture.log_bytes, MOST_WAITING) // 2)
            self._waiting.put(data)

    def printed(self, source: str, text: str) -> None:
        """Keep the lines of what is printed, as soon as they end."""
        most = self._capture.log_bytes
        if len(text) > 4 * most:  # as if it had been a line: its middle would be dropped in any case
            text = shortened(text, 2 * most)
        with self._capture.ring.lock:
            *lines, begun = (self._begun.pop(source, "") + text).split("\n")
            for line in lines:
                self.add("", source, line, time.time())
            if begun:
                most = 2 * self._capture.most_line
                self._begun[source] = begun if len(begun) <= most else shortened(begun, most // 2)

    def close(self) -> None:
        """Keep what is left, at the end of the attempt."""
        for source, begun in self._begun.items():
            self.add("", source, begun, time.time())
        self._begun.clear()
        capture = self._capture
        if self._goes_out() or capture.gave_up_at == capture.ring.read_until:
            return
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            time.sleep(0.005)
            if self._goes_out():
                return
        capture.gave_up_at = capture.ring.read_until  # until the keeper reads again, nobody waits

    def _goes_out(self) -> bool:
        """Put what waits into the ring; return whether nothing waits."""
        waiting = self._waiting
        if waiting is None:
            return True
        first, last = bytes(waiting.first), bytes(waiting.last)
        with self._capture.ring.lock:
            if not self._capture.ring.write(LogEntry(self._id, 0, first), LogEntry(self._id, waiting.left_out, last)):
                return False
            self._waiting = None
        return True


class LogCapture:
    """Lets lines of attempts be kept, in this process.

    Args:
        ring: the child's.
        log_bytes: how much is kept of a task.
        own: loggers by which the worker itself logs attempts.
    """

    def __init__(self, ring: LogRing, log_bytes: int, own: tuple[str, ...] = ()) -> None:
        self.ring = ring
        self.log_bytes = log_bytes
        self.most_line = min(MOST_LINE, log_bytes // 4)
        self.gave_up_at = -1
        self._own = frozenset(own)

    def start(self) -> None:
        """Keep log records from now on, and what is printed."""
        handle = logging.Logger.callHandlers

        @wraps(handle)
        def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
            attempt = running_attempt()
            if attempt is None:
                return handle(logger, record)
            if record.name not in self._own and not is_copy():
                self._lines_of(attempt).add(record.levelname, record.name, _text_of(record), record.created)
            _mute.on = True
            try:
                return handle(logger, record)
            finally:
                _mute.on = False

        logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign, assignment]
        _started.append(self)
        for name in ("stdout", "stderr"):
            self.watch(name)

    def watch(self, name: str) -> None:
        """Keep what is printed to ``stdout`` or ``stderr`` as it is now."""
        stream: Any = getattr(sys, name)
        if stream is None:
            return
        write = stream.write

        def kept(text: str) -> int:
            attempt = running_attempt()
            if attempt is not None and isinstance(text, str) and not (getattr(_mute, "on", False) or is_copy()):
                self._lines_of(attempt).printed(name, text)
            written: int = write(text)
            return written

        try:
            stream.write = kept
        except AttributeError:  # a stream of the project's own, which has no place for it
            logging.getLogger("streamtasks.worker").debug("what is printed to %s is not kept", name)

    def _lines_of(self, attempt: Attempt) -> AttemptLines:
        lines = attempt.lines
        if lines is None:
            lines = attempt.lines = AttemptLines(self, attempt)
        return lines  # type: ignore[no-any-return]


def _text_of(record: logging.LogRecord) -> str:
    """Return the message of a record with its traceback. What a project's objects raise is not the task's error."""
    try:
        text = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            text += "\n" + _formatter.formatException(record.exc_info)
        if record.stack_info:
            text += "\n" + record.stack_info
    except INTERRUPTS:
        raise
    except Exception as error:  # noqa: BLE001 - the handlers say so, too
        return f"{record.msg!s:.1000} ({type(error).__name__} while it was formatted)"
    return text


def watch_stream(name: str) -> None:
    """Keep what is printed to ``stdout`` or ``stderr``, which was opened again, if lines are kept in this process."""
    for capture in _started:
        capture.watch(name)


_formatter: Final = logging.Formatter()
_started: Final[list[LogCapture]] = []
