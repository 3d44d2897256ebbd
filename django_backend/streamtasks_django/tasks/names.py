"""Register tasks whose name is not their import path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamtasks.exceptions import InvalidTask as EngineInvalidTask
from streamtasks.protocol.keys import check_task_name

from ..exceptions import InvalidTask

if TYPE_CHECKING:
    from ..framework import Task

__all__ = ["named", "register", "registered_names"]

_named: dict[str, Task[..., Any]] = {}


def register(name: str, task: Task[..., Any]) -> None:
    """Register a task by its name. Copies with other options change nothing.

    Raises:
        InvalidTask: another task has this name, or it cannot be one.
    """
    try:
        check_task_name(name)
    except EngineInvalidTask as error:
        raise InvalidTask(str(error)) from None
    known = _named.get(name)
    if known is not None and known.func is not task.func and not _is_reload(known, task):
        raise InvalidTask(
            f"Two tasks are named {name!r}: {_location(known)} and {_location(task)}. Give one of them another name."
        )
    if known is None or known.func is not task.func:  # a different function: its module was reloaded
        _named[name] = task


def named(name: str) -> Task[..., Any] | None:
    """Return the task with this name, None if there is none."""
    return _named.get(name)


def registered_names() -> list[str]:
    """Return the names of all tasks registered here."""
    return list(_named)


def _is_reload(known: Task[..., Any], task: Task[..., Any]) -> bool:
    """Return whether it is the same definition after a reload; one class makes only one task of a name."""
    owner = getattr(task.func, "owner", None)
    return _location(known) == _location(task) and (owner is None or owner is not getattr(known.func, "owner", None))


def _location(task: Task[..., Any]) -> str:
    return f"{task.func.__module__}.{task.func.__qualname__}"
