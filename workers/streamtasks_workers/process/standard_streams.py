"""Open stdout and stderr again when a task has closed them: others print there, and so does the log."""

from __future__ import annotations

import fcntl
import logging
import os
import sys
from contextlib import suppress
from typing import Any, Final

from .log_capture import watch_stream
from .process_calls import noticing

__all__ = ["StandardStreams"]

_NAMES: Final = {1: "stdout", 2: "stderr"}
_LEAST_COPY: Final = 10


class StandardStreams:
    """stdout and stderr of a child as they were before the first attempt."""

    def __init__(self) -> None:
        self._copies: dict[int, int] = {}
        for number, name in _NAMES.items():
            with suppress(OSError):  # without a copy, what is printed after a task has closed it goes nowhere
                self._copies[number] = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _LEAST_COPY)
            with suppress(AttributeError):
                stream: Any = getattr(sys, name)
                stream.close = noticing(stream.close)

    def restore(self) -> list[str]:
        """Open what is closed; return the names."""
        opened = []
        for number, name in _NAMES.items():
            if not _is_open(number):
                self._open(number)
                opened.append(name)
            stream = getattr(sys, name)
            if stream is not None and _is_closed(stream):
                _replace(stream, name, number)
                watch_stream(name)
                if name not in opened:
                    opened.append(name)
        return opened

    def _open(self, number: int) -> None:
        try:
            os.dup2(self._copies[number], number)
        except (KeyError, OSError):
            with suppress(OSError):  # no descriptor is left: this process is replaced
                nothing = os.open(os.devnull, os.O_WRONLY)
                if nothing != number:
                    os.dup2(nothing, number)
                    os.close(nothing)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _is_closed(stream: Any) -> bool:
    """Whether nothing can be printed there; a task may have put any object in its place."""
    try:
        return bool(getattr(stream, "closed", False))
    except BaseException:  # noqa: BLE001
        return True


def _replace(closed: Any, name: str, number: int) -> None:
    """Put a new stream in the place of a closed one, also in the handlers of logs."""
    new: Any = open(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    new.close = noticing(new.close)
    for known in (name, f"__{name}__"):
        if getattr(sys, known) is closed:
            setattr(sys, known, new)
    loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.Logger.manager.loggerDict))]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        if isinstance(handler, logging.StreamHandler) and handler.stream is closed:
            with suppress(ValueError):  # it flushes the closed one before
                handler.setStream(new)
            handler.stream = new
