"""Interrupt a task from outside: raise an exception in its code, and nowhere else.

The keeper requests an interrupt on the board and sends the child a signal. A guard stands around the
task's own code. It is open only while that runs, so an interrupt that comes as the attempt ends hits neither our
code nor the next task. Each stronger request interrupts once more. A task may catch
what is raised, in order to clean up.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from types import FrameType, coroutine
from typing import Any, Final

from streamtasks.exceptions import SoftTimeLimitExceeded, TaskRevoked, TimeLimitExceeded

from ..process.board import Board, Interrupt
from ..process.fork_guard import end_copy, is_copy

__all__ = ["INTERRUPT", "OPEN", "CoroutineGuard", "Guard", "MainGuard", "ThreadGuard"]

# Not SIGUSR1 and SIGUSR2, which projects use for themselves, where there are others.
INTERRUPT: Final[int] = signal.SIGRTMIN + 5 if sys.platform == "linux" else signal.SIGUSR2
"""The signal that makes a child look at what the keeper wants."""

_RAISED: Final[dict[int, type[Exception]]] = {
    Interrupt.SOFT_LIMIT: SoftTimeLimitExceeded,
    Interrupt.HARD_LIMIT: TimeLimitExceeded,
    Interrupt.REVOKED: TaskRevoked,
}


class Guard:
    """Stands around the code of one task; this one lets nothing in.

    ``kind`` is the strongest interrupt that was raised in the task.
    """

    __slots__ = ("kind",)

    def __init__(self) -> None:
        self.kind: int = Interrupt.NONE

    def call[T](self, function: Callable[[T], Any], argument: T) -> Any:
        """Run a plain task."""
        return function(argument)

    def drive(self, awaitable: Awaitable[Any]) -> Awaitable[Any]:
        """Run a coroutine task."""
        return awaitable

    def interrupt(self, kind: int) -> None:
        """Raise the exception of this interrupt in the task, if it runs and the exception was not yet raised."""


OPEN: Final = Guard()


class MainGuard(Guard):
    """For plain tasks on the main thread: the handler of the signal raises. One guard for all attempts of a child."""

    __slots__ = ("_board", "_open", "_slot", "_started", "_within")

    def __init__(self, board: Board) -> None:
        super().__init__()
        self._board = board
        self._slot = self._started = 0
        self._open = False
        self._within: Callable[[int], None] | None = None
        signal.signal(INTERRUPT, self._on_signal)

    def begin(self, slot: int, started_ns: int, within: Callable[[int], None] | None = None) -> None:
        """Turn to the attempt that has started; ``within``: how a coroutine task is interrupted instead."""
        self._slot, self._started, self._within = slot, started_ns, within
        self.kind = Interrupt.NONE

    def call[T](self, function: Callable[[T], Any], argument: T) -> Any:
        """See `Guard.call`."""
        # The handler may raise anywhere in here, at most twice: once for a limit and once for a revocation. If it does
        # so where the guard is about to be closed, the outer level closes it.
        try:
            try:
                self._open = True
                return function(argument)
            finally:
                self._open = False
        finally:
            self._open = False

    def _on_signal(self, _number: int, frame: FrameType | None) -> None:
        kind = self._board.requested_interrupt(self._slot, self._started)
        if kind > self.kind:
            if self._open:
                if _is_finaliser(frame):
                    return  # what is raised there is lost; the keeper asks again, see `Enforcer`
                self.kind = kind
                raise _RAISED[kind]
            if self._within is not None:
                self._within(kind)


def _is_finaliser(frame: FrameType | None) -> bool:
    """Whether code runs in an object's ``__del__``, or below it."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


class ThreadGuard(Guard):
    """For plain tasks on other threads: an exception is set for the thread, which sees it at its next bytecode."""

    __slots__ = ("_open", "_sending", "_sent", "_thread")

    def __init__(self) -> None:
        super().__init__()
        self._thread = 0
        self._open = self._sending = self._sent = False

    def call[T](self, function: Callable[[T], Any], argument: T) -> Any:
        """See `Guard.call`."""
        self._thread = threading.get_ident()
        # Each of the three kinds may strike once, also while the guard is being closed: one of four levels closes it.
        try:
            try:
                try:
                    try:
                        self._open = True
                        return function(argument)
                    finally:
                        self._close()
                finally:
                    self._close()
            finally:
                self._close()
        finally:
            self._close()

    def interrupt(self, kind: int) -> None:
        """See `Guard.interrupt`; called on another thread."""
        if kind <= self.kind:
            return
        self._sending = True
        if self._open:
            self.kind = kind
            self._sent = True
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(_RAISED[kind]))
        self._sending = False

    def _close(self) -> None:
        """Let nothing in any more, and take back what was sent and has not struck yet."""
        self._open = False
        while self._sending:
            time.sleep(0)
        if self._sent:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), None)


class CoroutineGuard(Guard):
    """For coroutine tasks: the exception is thrown in where the task awaits something."""

    __slots__ = ("_pending", "_task")

    def __init__(self) -> None:
        super().__init__()
        self._pending: Exception | None = None
        self._task: asyncio.Task[Any] | None = None

    def drive(self, awaitable: Awaitable[Any]) -> Awaitable[Any]:
        """See `Guard.drive`."""
        return self._drive(awaitable)

    @coroutine
    def _drive(self, awaitable: Awaitable[Any]) -> Generator[Any, Any, Any]:
        inner: Any = awaitable.__await__()
        self._task = task = asyncio.current_task()
        assert task is not None
        error: BaseException | None = None
        value: Any = None
        try:
            while True:
                try:
                    awaited = inner.send(value) if error is None else inner.throw(error)
                except StopIteration as stop:
                    if is_copy():
                        end_copy()
                    return stop.value
                except BaseException as raised:
                    if is_copy():
                        end_copy(raised)
                    raise
                if is_copy():
                    end_copy()  # it shall not turn this loop, on which others' coroutines wait
                value = error = None
                try:
                    value = yield awaited
                except GeneratorExit:
                    inner.close()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - it is thrown into the task
                    error = thrown
                if self._pending is not None:
                    # The cancellation was ours and only woke the task: it sees the real reason instead.
                    task.uncancel()
                    error, self._pending = self._pending, None
        finally:
            self._task = None

    def interrupt(self, kind: int) -> None:
        """See `Guard.interrupt`; called on the task's event loop."""
        if kind > self.kind and self._task is not None:
            woken = self._pending is not None
            self.kind, self._pending = kind, _RAISED[kind]()
            if not woken:
                self._task.cancel()
