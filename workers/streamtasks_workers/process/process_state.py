"""Restore what belongs to a process and not to an attempt: signals, timers, limits, directory, umask, outputs."""

from __future__ import annotations

import importlib
import logging
import os
import signal
from collections.abc import Callable, Iterable
from typing import Any, Final

from .process_calls import NOTICED, PLAIN, notice_calls
from .resource_limits import ResourceLimits
from .standard_streams import StandardStreams

__all__ = ["ProcessState"]

logger = logging.getLogger("streamtasks.worker")

LOOK_NS: Final = 500_000
"""After so long, ns, everything is looked at, whatever was noticed."""

_TIMERS: Final = {
    signal.ITIMER_REAL: signal.SIGALRM,
    signal.ITIMER_VIRTUAL: signal.SIGVTALRM,
    signal.ITIMER_PROF: signal.SIGPROF,
}

# What the module `signal` wraps: without its enumerations a look takes a tenth of the time.
_getsignal: Final[Callable[[int], Any]] = importlib.import_module("_signal").getsignal


class ProcessState:
    """How the process was before the first attempt. Only `restore_mask` may be called outside the main thread.

    Python's functions that change any of it note their calls, see `notice_calls`. What was changed in another way, by
    code in C for example, is found by a look: at the latest after half a millisecond of work, and before a child waits.

    Args:
        numbers: the signals that are handled for the worker.

    ``is_spoilt``: whether a task has left the process without descriptors, or has lowered a limit for good or while
    others run. Then it has to be replaced: under load it may never be without others.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        notice_calls()
        self._handlers = [(number, _getsignal(number)) for number in numbers]
        self._wakeup_fd = PLAIN.set_wakeup_fd(-1)
        self._listen()
        self._mask = PLAIN.pthread_sigmask(signal.SIG_BLOCK, ())
        self._umask = PLAIN.umask(0)
        PLAIN.umask(self._umask)
        try:
            self._directory = os.getcwd()  # noqa: PTH109 - a third of the time
        except OSError:
            self._directory = ""  # it was deleted before we came
        self._limits = ResourceLimits(self._wakeup_fd)
        self.is_spoilt = False
        self._timers: list[tuple[int, int]] = []
        self._streams = StandardStreams()
        self._looked_at_ns = 0
        self._last_id = ""
        self._noticed = False
        NOTICED.changed = False

    def note_timers(self) -> None:
        """Note which timers run before the first attempt: those of middleware, a profiler's for example, go on."""
        self._timers = [(timer, number) for timer, number in _TIMERS.items() if not signal.getitimer(timer)[0]]
        NOTICED.changed = False

    def after_attempt(self, task_id: str, now_ns: int, started_ns: int = 0, *, alone: bool = True) -> None:
        """Restore what a task has changed, if that was noticed or the last look is long ago.

        Args:
            task_id: of the attempt that has ended.
            now_ns: monotonic ns.
            started_ns: when it started, monotonic ns; 0: long ago.
            alone: whether nothing else runs in this process. Else only signals, timers that would kill it and closed
                outputs are restored: the rest may be of use to others.
        """
        if not self._last_id:
            self._looked_at_ns = started_ns  # nothing has run since the last look
        self._last_id = task_id
        if NOTICED.changed or now_ns - self._looked_at_ns >= LOOK_NS:
            self._looked_at_ns = now_ns
            self._look(everything=alone)

    def before_waiting(self) -> None:
        """Look at everything. Call it when nothing runs in this process."""
        if self._last_id:
            self._look(everything=True)
            self._last_id = ""

    def _look(self, *, everything: bool) -> None:
        self._noticed = NOTICED.changed
        opened = self._streams.restore()  # before all else, which may have to be logged
        if opened:
            self._changed(" and ".join(opened))
        for timer, number in self._timers:
            # Without a handler it is of use to nobody, and would kill the process with what runs then.
            if signal.getitimer(timer)[0] and (everything or _getsignal(number) == signal.SIG_DFL):
                PLAIN.setitimer(timer, 0)
                self._changed("a timer (or alarm)")
        if everything:
            NOTICED.changed = False
            umask = PLAIN.umask(self._umask)
            if umask != self._umask:
                self._changed(f"the umask, to {umask:03o}")
            if self._directory:
                self._restore_directory()
        self._restore_signals()
        limits = self._limits
        restored = limits.restore(self._last_id) if everything else not limits.are_lowered()
        if not (restored and limits.has_descriptors()):
            self._spoil()

    def _spoil(self) -> None:
        if not self.is_spoilt:
            self.is_spoilt = True
            logger.error("task %s has left this process without descriptors or limits; it is replaced", self._last_id)

    def _restore_signals(self) -> None:
        """Restore the signals by which the worker reaches this process."""
        for number, handler in self._handlers:
            if _getsignal(number) is not handler:
                PLAIN.signal(number, handler)
                self._changed(f"the handler of {_name(number)}")
        try:
            if self._listen() != self._wakeup_fd:
                self._changed("set_wakeup_fd")
        except (OSError, ValueError):
            return  # the task has closed our descriptors: the executor notices, and ends this process
        self.restore_mask(self._last_id)

    def _listen(self) -> int:
        return PLAIN.set_wakeup_fd(self._wakeup_fd, warn_on_full_buffer=False)  # type: ignore[no-any-return]

    def restore_mask(self, task_id: str) -> None:
        """Restore the signal mask of this thread, which may be another one."""
        if PLAIN.pthread_sigmask(signal.SIG_BLOCK, ()) != self._mask:
            PLAIN.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            _log(f"task {task_id}", "the signal mask")

    def _restore_directory(self) -> None:
        try:
            if os.getcwd() == self._directory:  # noqa: PTH109
                return
        except OSError:
            pass  # where the task went is no more: back, all the same
        try:
            PLAIN.chdir(self._directory)
        except OSError as error:
            logger.warning("the working directory of this worker is no more: %s", error)
            self._directory = ""
        self._changed("the working directory")

    def _changed(self, what: str) -> None:
        _log(f"task {self._last_id}" if self._noticed else f"task {self._last_id}, or one just before it,", what)


def _log(who: str, what: str) -> None:
    logger.warning("%s has changed %s of its process; it is restored", who, what)


def _name(number: int) -> str:
    return signal.Signals(number).name if number in signal.Signals.__members__.values() else f"signal {number}"
