"""The stacks of an attempt that runs in this process: of its threads and coroutines, without any values.

A thread answers, which waits for questions all the time and blocks all signals. It is none of `threading`: nothing that
a task does, and no call that a task makes, is interrupted or sees it.
"""

from __future__ import annotations

import _thread
import asyncio
import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any, Final

from streamtasks.protocol.running_attempt import RUNNING
from streamtasks.tasks.attempt import Attempt

from ..process.board import Board, Slot
from ..process.fork_guard import is_copy
from ..process.stack_box import BOX_BYTES
from ..process.title import LONG_NS, CommandLine
from .guards import CoroutineGuard
from .own_loop import own_loops

__all__ = ["start_answering"]

logger = logging.getLogger("streamtasks.worker")


MOST_FRAMES: Final = 200
"""Frames of a stack; of more, the innermost are shown."""

_OWN: Final = ("streamtasks.", "streamtasks_workers.", "streamtasks_django.", "django.tasks.", "asyncio.")


def start_answering(board: Board, runs: tuple[CodeType, ...]) -> None:
    """Start the thread that answers questions, and shows in the process's title what runs for long.

    Args:
        board: on which they stand.
        runs: the code that runs attempts, in frames with a variable ``attempt``.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # a thread has the mask of its maker
    try:
        _thread.start_new_thread(_answer, (board, runs))
    except RuntimeError as error:
        logger.warning("this child cannot show the stacks of its tasks: %s", error)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _answer(board: Board, runs: tuple[CodeType, ...]) -> None:
    box, line, shown = board.stacks, CommandLine(), ""
    while True:
        box.wait()
        if is_copy():
            continue
        if task_id := box.question():
            box.put(_stacks_of(task_id, runs))
        title = _title(board, runs)
        if title != shown:
            line.show(title)
            shown = title


def _title(board: Board, runs: tuple[CodeType, ...]) -> str:
    """Return what this process has been running for long; empty: nothing."""
    now = time.monotonic_ns()
    slots = [slot for slot, state in enumerate(board.states()) if state == Slot.RUNNING]
    began, slot = min(((board.times(slot)[0], slot) for slot in slots), default=(now, 0))
    if now - began < LONG_NS:
        return ""
    others = f" and {len(slots) - 1} more" if len(slots) > 1 else ""
    try:
        task_id = board.claimed(slot).id
        name = next((attempt.message.task for attempt in _attempts(runs) if attempt.id == task_id), task_id)
    except Exception:  # noqa: BLE001 - what is looked at changes meanwhile; the next look finds it
        return "st-child"
    return f"st-child {name} {(now - began) // 1_000_000_000} s{others}"


def _attempts(runs: tuple[CodeType, ...]) -> Iterator[Attempt]:
    """Yield the attempts that run on threads, then those that are coroutines."""
    for innermost in sys._current_frames().values():  # pyright: ignore[reportPrivateUsage] - there is no other way
        at: FrameType | None = innermost
        while at is not None and at.f_code not in runs:
            at = at.f_back
        if at is not None and (attempt := at.f_locals.get("attempt")) is not None:
            yield attempt
    for loop in own_loops():
        for task in asyncio.all_tasks(loop):
            if (attempt := task.get_context().get(RUNNING)) is not None:
                yield attempt


def _stacks_of(task_id: str, runs: tuple[CodeType, ...]) -> bytes:
    """Return the stacks of a task as JSON."""
    try:
        stacks = [*_of_threads(task_id, runs), *_of_coroutines(task_id)]
        answer = json.dumps({"stacks": stacks}).encode()
        while len(answer) > BOX_BYTES:
            stacks.pop()
            answer = json.dumps({"stacks": stacks, "more": True}).encode()
    except Exception as error:  # noqa: BLE001 - what is looked at changes meanwhile; asked again, it may stand still
        answer = json.dumps({"stacks": [], "error": type(error).__name__}).encode()
    return answer


def _of_threads(task_id: str, runs: tuple[CodeType, ...]) -> Iterator[dict[str, Any]]:
    names = {one.ident: one.name for one in threading.enumerate()}
    for ident, innermost in sys._current_frames().items():  # pyright: ignore[reportPrivateUsage] - there is no other way
        at: FrameType | None = innermost
        frames: list[list[Any]] = []
        while at is not None:
            if at.f_code in runs:
                attempt = at.f_locals.get("attempt")
                if attempt is not None and attempt.id == task_id:
                    yield _stack(f"thread {names.get(ident, ident)}", frames[::-1])
                break
            frames.append(_place(at))
            at = at.f_back


def _of_coroutines(task_id: str) -> Iterator[dict[str, Any]]:
    for loop in own_loops():
        for task in asyncio.all_tasks(loop):
            attempt = task.get_context().get(RUNNING)
            if attempt is not None and attempt.id == task_id:
                yield _stack(f"coroutine {task.get_name()}", list(_awaited(task.get_coro())))


def _awaited(coroutine: Any) -> Iterator[list[Any]]:
    """Yield the places at which coroutines wait for each other, the outermost first."""
    while coroutine is not None:
        kind = next((kind for kind in ("cr", "gi", "ag") if getattr(coroutine, f"{kind}_frame", None)), "")
        if not kind:
            return
        frame: FrameType = getattr(coroutine, f"{kind}_frame")
        yield _place(frame)
        if frame.f_code is _DRIVE:
            coroutine = frame.f_locals.get("awaitable")
        else:
            coroutine = getattr(coroutine, "gi_yieldfrom" if kind == "gi" else f"{kind}_await", None)


_DRIVE: Final[CodeType] = vars(CoroutineGuard)["_drive"].__code__
"""It turns the coroutine of the task by hand."""


def _place(frame: FrameType) -> list[Any]:
    return [frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_qualname, frame.f_globals.get("__name__")]


def _stack(name: str, places: list[list[Any]]) -> dict[str, Any]:
    begin = next((at for at, place in enumerate(places) if not str(place[3]).startswith(_OWN)), 0)
    return {"name": name, "frames": [place[:3] for place in places[begin:]][-MOST_FRAMES:]}
