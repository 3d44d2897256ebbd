"""Notice the calls by which code changes signals, timers, the directory, the umask, limits or outputs of its process.

A look at all of these after every attempt takes six system calls. Attempts that change none of them, which are nearly
all, shall not pay for that: the functions of the standard library that do so note that they were called.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

__all__ = ["NOTICED", "PLAIN", "notice_calls", "noticing"]

_SIGNALS: Final[tuple[Any, ...]] = tuple(map(importlib.import_module, ("_signal", "signal")))
_SYSTEM: Final[tuple[Any, ...]] = tuple(map(importlib.import_module, (os.name, "os")))  # "posix"
_LIMITS: Final[tuple[Any, ...]] = (importlib.import_module("resource"),)

_CALLS: Final = {
    "signal": _SIGNALS,  # `signal.signal` and `signal.pthread_sigmask` look for those of `_signal` when they are called
    "pthread_sigmask": _SIGNALS,
    "set_wakeup_fd": _SIGNALS,
    "setitimer": _SIGNALS,
    "alarm": _SIGNALS,
    "chdir": _SYSTEM,
    "fchdir": _SYSTEM,
    "umask": _SYSTEM,
    "closerange": _SYSTEM,
    "close": _SYSTEM,
    "setrlimit": _LIMITS,
}
_OUTPUTS: Final = (1, 2)

PLAIN: Final[Any] = SimpleNamespace(**{name: getattr(modules[0], name) for name, modules in _CALLS.items()})
"""The functions themselves, whose calls are not noticed."""


class _Noticed:
    """``changed``: whether any of the functions was called since this was last set to False."""

    __slots__ = ("changed",)

    def __init__(self) -> None:
        self.changed = False


NOTICED: Final = _Noticed()
"""Of this process, as all that these functions change."""


def notice_calls() -> None:
    """Let these functions note on `NOTICED` that they are called, in this process and those that it forks.

    Names that were bound before (``from os import chdir``) still lead to the functions themselves: call it before an
    app is loaded. Calling it again does nothing.
    """
    for name, modules in _CALLS.items():
        original = getattr(PLAIN, name)
        if getattr(modules[0], name) is not original:
            continue
        replacement = (_noticing_outputs if name == "close" else noticing)(original)
        for module in modules:
            if getattr(module, name) is original:
                setattr(module, name, replacement)
        for supported in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks):
            if original in supported:
                supported.add(replacement)


def noticing[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that notes its call on `NOTICED` and makes it."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        NOTICED.changed = True
        return function(*args, **kwargs)

    return call


def _noticing_outputs(close: Callable[[int], None]) -> Callable[[int], None]:
    """Return a function that closes a descriptor and notes it if that is stdout or stderr."""

    @functools.wraps(close)
    def call(fd: int) -> None:
        if fd in _OUTPUTS:
            NOTICED.changed = True
        close(fd)

    return call
