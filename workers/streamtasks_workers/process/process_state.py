"""Restore what belongs to a child's process and not to an attempt: signals, timers, directory and umask."""

from __future__ import annotations

import importlib
import logging
import os
import signal
from collections.abc import Callable, Iterable
from typing import Any, Final

__all__ = ["ProcessState"]

logger = logging.getLogger("streamtasks.worker")

# What the module `signal` wraps: without its enumerations a look takes a tenth of the time; each attempt needs some.
_plain: Any = importlib.import_module("_signal")
_getsignal: Final[Callable[[int], Any]] = _plain.getsignal
_pthread_sigmask: Final[Callable[[int, Iterable[int]], set[int]]] = _plain.pthread_sigmask


class ProcessState:
    """How the process was before the first attempt. Only `restore_mask` may be called outside the main thread.

    Args:
        numbers: the signals that are handled for the worker.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self._handlers = [(number, _getsignal(number)) for number in numbers]
        self._wakeup_fd = signal.set_wakeup_fd(-1)
        self._listen()
        self._mask = _pthread_sigmask(signal.SIG_BLOCK, ())
        self._umask = os.umask(0)
        os.umask(self._umask)
        try:
            self._directory = os.getcwd()  # noqa: PTH109 - a third of the time
        except OSError:
            self._directory = ""  # it was deleted before we came

    def _listen(self) -> int:
        return signal.set_wakeup_fd(self._wakeup_fd, warn_on_full_buffer=False)

    def restore_signals(self, task_id: str) -> None:
        """Restore the signals by which the worker reaches this process, and log what the task has changed."""
        for number, handler in self._handlers:
            if _getsignal(number) is not handler:
                signal.signal(number, handler)
                _changed(task_id, f"the handler of {_name(number)}")
        try:
            if self._listen() != self._wakeup_fd:
                _changed(task_id, "set_wakeup_fd")
        except (OSError, ValueError):
            return  # the task has closed our descriptors: the executor notices, and ends this process
        self.restore_mask(task_id)

    def restore_mask(self, task_id: str) -> None:
        """Restore the signal mask of this thread, which may be another one."""
        if _pthread_sigmask(signal.SIG_BLOCK, ()) != self._mask:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            _changed(task_id, "the signal mask")

    def restore(self, task_id: str) -> None:
        """Restore everything. Call it when nothing else runs in this process."""
        if signal.getitimer(signal.ITIMER_REAL)[0]:
            signal.setitimer(signal.ITIMER_REAL, 0)
            _changed(task_id, "a timer (or alarm)")
        self.restore_signals(task_id)
        umask = os.umask(self._umask)
        if umask != self._umask:
            _changed(task_id, f"the umask, to {umask:03o}")
        if self._directory:
            self._restore_directory(task_id)

    def _restore_directory(self, task_id: str) -> None:
        try:
            if os.getcwd() == self._directory:  # noqa: PTH109
                return
        except OSError:
            pass  # where the task went is no more: back, all the same
        try:
            os.chdir(self._directory)
        except OSError as error:
            logger.warning("the working directory of this worker is no more: %s", error)
            self._directory = ""
        _changed(task_id, "the working directory")


def _changed(task_id: str, what: str) -> None:
    logger.warning("task %s has changed %s of its process; it is restored", task_id, what)


def _name(number: int) -> str:
    return signal.Signals(number).name if number in signal.Signals.__members__.values() else f"signal {number}"
