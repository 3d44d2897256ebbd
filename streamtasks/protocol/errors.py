"""Errors of tasks as data: record an exception, and build it again where a result is read."""

from __future__ import annotations

import sys
import traceback as tb
from ast import literal_eval
from types import TracebackType
from typing import Any, Final

from ..exceptions import TaskFailed

__all__ = ["describe", "exception_path", "own_frames_left_out", "rebuild"]

MAX_TEXT = 8 * 1024
"""Most characters kept of a message and of a traceback."""

MAX_FRAMES = 1000
"""Of a longer traceback only the first and the last frames are shown."""


CALLERS: Final = ("streamtasks", "streamtasks_workers", "streamtasks_django", "django.tasks", "django_tasks")
"""Packages whose frames stand before those of a task's own code."""

USERS: Final = "streamtasks_django.demo"
"""Code of ours that is written as users write theirs."""


def exception_path(error: BaseException) -> str:
    """Return the dotted name of an exception's class."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def describe(error: BaseException) -> dict[str, Any]:
    """Return ``{"type", "message", "traceback"}``; never raises, whatever the exception's own methods raise."""
    try:
        path = exception_path(error)
    except BaseException:  # noqa: BLE001 - a class may have any object as its __module__
        path = "<an exception whose class cannot be named>"
    try:
        message = str.__str__(str(error))
    except BaseException as inner:  # noqa: BLE001 - a broken __str__ must not hide the failure it belongs to
        message = f"<{path.rpartition('.')[2]} whose str() raised {type(inner).__name__}>"
    try:
        text = _traceback(error)
    except BaseException as inner:  # noqa: BLE001
        text = f"<traceback could not be formatted: {type(inner).__name__}>\n"
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT // 2] + "\n... (cut) ...\n" + text[-MAX_TEXT // 2 :]
    return {
        "type": path,
        "message": _carriable(message[:MAX_TEXT]),
        "traceback": _carriable(text),
    }


def _traceback(error: BaseException) -> str:
    """Return the traceback as text; of a very long one only its ends, because every frame costs microseconds."""
    begin = own_frames_left_out(error.__traceback__)
    frames, last = [], begin
    while last is not None:
        frames.append(last)
        last = last.tb_next
    if len(frames) <= MAX_FRAMES:
        return "".join(tb.format_exception(type(error), error, begin))
    first = "".join(tb.format_tb(begin, MAX_FRAMES // 2))
    text = "".join(tb.format_exception(type(error), error, frames[-MAX_FRAMES // 2]))
    return f"{first}... ({len(frames)} frames; the first and the last are shown) ...\n{text}"


def own_frames_left_out(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback from where a task's own code begins; whole if there is none of that in it."""
    at = traceback
    while at is not None and _calls_tasks(at):
        at = at.tb_next
    return at or traceback


def _calls_tasks(frame: TracebackType) -> bool:
    module = frame.tb_frame.f_globals.get("__name__")
    if not isinstance(module, str) or _is_in(module, USERS):
        return False
    return any(_is_in(module, package) for package in CALLERS)


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _carriable(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot carry."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def rebuild(error: dict[str, Any]) -> Exception:
    """Return an exception for a recorded error: of its own class if that is loaded here, else `TaskFailed`.

    Nothing is imported, and only subclasses of `Exception` are made, with the message as their only argument
    (of a KeyError, the key), so that ``str()`` says what it said in the worker.
    """
    path, message, text = error.get("type", ""), error.get("message", ""), error.get("traceback", "")
    module_name, _, name = path.rpartition(".")
    cls = getattr(sys.modules.get(module_name), name, None)
    if isinstance(cls, type) and issubclass(cls, Exception):
        try:
            again = cls(_argument(cls, message))
        except Exception:  # noqa: BLE001 - a class with another signature: the general error says it all
            again = None
        if again is not None:
            again.add_note(f"Traceback in the worker:\n{text}")
            return again
    return TaskFailed(f"{path}: {message}" if path else message, path, text)


class _Verbatim(str):
    """A text that shows itself without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _argument(cls: type[Exception], message: str) -> Any:
    """Return what to make an exception of this class with."""
    if cls.__str__ is not KeyError.__str__:
        return message
    try:  # the message of a KeyError is the repr() of its key
        key = literal_eval(message)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return _Verbatim(message)
    return key if repr(key) == message else _Verbatim(message)
