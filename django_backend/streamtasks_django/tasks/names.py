"""Tasks with a name of their own, which says nothing of where they are defined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..exceptions import InvalidTask

if TYPE_CHECKING:
    from django.tasks.base import Task

__all__ = ["named", "register"]

_named: dict[str, Task[..., Any]] = {}


def register(name: str, task: Task[..., Any]) -> None:
    """Make a task known by its name. Copies of it that differ in options change nothing.

    Raises:
        InvalidTask: another task has that name.
    """
    known = _named.get(name)
    if known is not None and known.func is not task.func and not _again(known, task):
        raise InvalidTask(
            f"Two tasks are named {name!r}: {_place(known)} and {_place(task)}. Give one of them another name."
        )
    if known is None or known.func is not task.func:  # the latter: its module was loaded anew
        _named[name] = task


def named(name: str) -> Task[..., Any] | None:
    """Return the task of that name, None if there is none."""
    return _named.get(name)


def _again(known: Task[..., Any], task: Task[..., Any]) -> bool:
    """Whether it is the same definition, whose module was loaded anew; a class makes only one task of a name."""
    owner = getattr(task.func, "owner", None)
    return _place(known) == _place(task) and (owner is None or owner is not getattr(known.func, "owner", None))


def _place(task: Task[..., Any]) -> str:
    return f"{task.func.__module__}.{task.func.__qualname__}"
