"""Ctrl-C and its relatives as something to wait for.

A signal that raises may do so between any two steps, also between starting a process and noting it: then that
process would be left behind. Here a signal only leaves a note, which the main thread reads where it waits.
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
    """Raised by `Interrupts.check` and `Interrupts.pause` once somebody wants the program to end."""


class Interrupts:
    """Takes SIGINT, SIGTERM and SIGHUP while its block runs. For the main thread."""

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
            return  # thousands of notes lie there already

    def wait(self, timeout_s: float) -> bool:
        """Wait; return early, and True, once a signal has come."""
        return bool(select.select([self._reader], [], [], timeout_s)[0])

    def pause(self, timeout_s: float) -> None:
        """Wait.

        Raises:
            Interrupted: a signal has come.
        """
        if self.wait(timeout_s):
            raise Interrupted

    def check(self) -> None:
        """Go on unless a signal has come.

        Raises:
            Interrupted: it has.
        """
        self.pause(0)
