"""Wait for Ctrl-C and similar signals.

A handler that raises may do so between any two steps, also between starting a process and recording it, and then
that process would never be stopped. Here a handler only sets a flag, which the main thread reads where it waits.
"""

from __future__ import annotations

import os
import select
import signal
from types import FrameType
from typing import Any, Self

__all__ = ["Interrupted", "Interrupts"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """Raised by `Interrupts.check` and `Interrupts.pause` once a signal has come."""


class Interrupts:
    """Handle SIGINT, SIGTERM and SIGHUP inside a ``with`` block. Use it in the main thread."""

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._before: dict[signal.Signals, Any] = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        try:
            os.write(self._writer, b"\0")
        except BlockingIOError:
            return  # the pipe is full, so a note is there already

    def wait(self, timeout_s: float) -> bool:
        """Wait; return True early if a signal comes."""
        return bool(select.select([self._reader], [], [], timeout_s)[0])

    def pause(self, timeout_s: float) -> None:
        """Wait.

        Raises:
            Interrupted: a signal has come.
        """
        if self.wait(timeout_s):
            raise Interrupted

    def check(self) -> None:
        """Raise if a signal has come.

        Raises:
            Interrupted: it has.
        """
        self.pause(0)
