"""Keep what a task forks from being taken for the child: it has the child's memory, but is not the child.

A copy gets the signals of an ordinary process, so that `Process.terminate` ends it, and nothing that it does reaches
the board or the server in the child's name. It ends where the task's own code ends.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType
from typing import Final, NoReturn

__all__ = ["end_copy", "guard_forks", "ignore", "is_copy"]

logger = logging.getLogger("streamtasks.worker")

FAILED: Final = 1

_in_copy = False


def is_copy() -> bool:
    """Whether this process was forked by a task."""
    return _in_copy


def end_copy(error: BaseException | None = None) -> NoReturn:
    """End a copy whose task's code has ended, by this exception or by returning, without reporting anything."""
    status = FAILED
    try:
        code: object = 0
        if isinstance(error, SystemExit):
            code = error.code
        elif error is not None:
            logger.error("process %d, which a task has forked, ends by an error", os.getpid(), exc_info=error)
            code = FAILED
        else:
            logger.warning("process %d, which a task has forked, has returned from the task; it ends here", os.getpid())
        if isinstance(code, str):
            logger.error("process %d: %s", os.getpid(), code)
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        status = code & 0xFF if isinstance(code, int) else FAILED if code else 0
    finally:  # also without memory for a log line
        os._exit(status)


def ignore(_signal: int, _frame: FrameType | None) -> None:
    """Handle a signal by doing nothing. Unlike SIG_IGN, this is not inherited by programs that a task starts."""


def guard_forks(numbers: Iterable[int], descriptors: Iterable[int], forget: Callable[[], None]) -> None:
    """Make every copy harmless that is forked from now on.

    Args:
        numbers: signals that are handled for the worker; a copy gets the default handlers.
        descriptors: files that are of use to the child only.
        forget: lets go of all else that belongs to the child.
    """
    handled = {number: signal.getsignal(number) for number in numbers}
    forking = threading.local()

    def before() -> None:
        # A signal for the copy that arrives before it has its own handlers must wait, or it would be lost.
        forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, handled)

    def after() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, forking.mask)

    def in_copy() -> None:
        global _in_copy
        if not _in_copy:
            _in_copy = True
            signal.set_wakeup_fd(-1)
            for number, handler in handled.items():
                if signal.getsignal(number) == handler:
                    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            for fd in descriptors:
                os.dup2(nothing, fd, inheritable=False)  # the number stays taken: nothing else can get it
            os.close(nothing)
            forget()
        after()

    os.register_at_fork(before=before, after_in_parent=after, after_in_child=in_copy)
