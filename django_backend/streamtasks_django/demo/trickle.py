"""Enqueue a task now and then, so that there is work when somebody opens the dashboard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, Final

from streamtasks import StoreError

from .. import chord
from . import work

__all__ = ["PAUSE_S", "step", "trickling"]

PAUSE_S: Final = 0.7
"""The time between two tasks, seconds."""


def _charge(number: int) -> Any:
    return work.charge.enqueue(number)


def _mail(number: int) -> Any:
    return work.mail.enqueue(number)


def _export(number: int) -> Any:
    return work.export.enqueue(10 + number % 20)


def _chord(number: int) -> Any:
    return chord([work.weigh.s(number + one) for one in range(5)])(work.add_up.s())


_ROUND: Final[tuple[Callable[[int], Any], ...]] = (_mail, _charge, _mail, _chord, _mail, _charge, _export, _charge)


def step(number: int) -> Any:
    """Enqueue the task, or the chord, of a number; return its result."""
    return _ROUND[number % len(_ROUND)](number)


@contextmanager
def trickling() -> Generator[None]:
    """Enqueue tasks in a thread until the block ends."""
    over = threading.Event()
    thread = threading.Thread(target=_run, args=(over,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _run(over: threading.Event) -> None:
    number = 0
    while not over.wait(PAUSE_S):
        number += 1
        with suppress(StoreError):  # the server ends before this thread
            step(number)
