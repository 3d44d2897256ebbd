"""Fork the supervisor's processes: each does one thing and ends."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

from ..process.fork_guard import end_copy, is_copy
from ..process.last_error import LastError
from ..process.lifeline import STOP_SIGNALS

__all__ = ["OWN_ERROR", "QUICK_S", "could_start", "exit_text", "fork", "send_signal"]

logger = logging.getLogger("streamtasks.worker")

OWN_ERROR: Final = 70
"""Exit status of a process that ends by an exception."""

QUICK_S: Final = 0.5
BUSY_S: Final = 10.0
"""A process that ends within this time, seconds, could not start; the second counts if it ends by an
exception: on a busy machine it may take long to get that far."""


def fork(live: Callable[[], int], not_inherited: Callable[[], None], last_error: LastError) -> int:
    """Fork a process that does ``live`` and exits with what it returns; return its pid.

    Args:
        live: the work of the new process.
        not_inherited: closes there what only the supervisor may hold.
        last_error: of the processes of this kind: only another one is logged.

    Raises:
        OSError: the system has no room for another process.
    """
    _flush()
    # A signal that arrives before the new process has its own handlers waits until it unblocks them.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        pid = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        raise
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        return pid
    code = OWN_ERROR
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        not_inherited()
        code = live()
    except BaseException as error:
        if is_copy():
            end_copy(error)
        if last_error.is_new(error):
            logger.exception("process %d ends by an error of its own", os.getpid())
    finally:
        try:
            logging.shutdown()
            _flush()
        finally:
            os._exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            continue  # closed, or without a reader: no reason not to fork


def send_signal(pid: int, number: int) -> None:
    """Send a signal to a process that may have ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def could_start(lived_s: float, code: int) -> bool:
    """Whether a process that has ended with this exit code, after so many seconds, got as far as its work."""
    return lived_s >= (BUSY_S if code == OWN_ERROR else QUICK_S)


def exit_text(code: int) -> str:
    """Return how a process ended, by its `os.waitstatus_to_exitcode`: ``"signal 9"``, ``"exit status 1"``."""
    return f"signal {-code}" if code < 0 else f"exit status {code}"
