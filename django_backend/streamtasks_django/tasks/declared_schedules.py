"""Collect the schedules that a project declares in ``TASK_SCHEDULE`` and with ``@task(schedule=...)``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from streamtasks.tasks.signature import Signature

from ..conf import task_settings
from ..framework import Task, task_backends
from .registry import known_task

__all__ = ["alias_of", "entries", "forget", "register"]

_scheduled: dict[tuple[str, str, str], Any] = {}
"""By module, function and name: each `StreamTask` that is defined with a schedule."""


def register(task: Task[..., Any]) -> bool:
    """Remember a task that is defined with a schedule; return False for a copy of a known one."""
    key = _key(task)
    known = _scheduled.get(key)
    if known is not None and known.func is task.func:
        return False
    _scheduled[key] = task  # also after a reload of its module
    return True


def forget(task: Task[..., Any]) -> None:
    """Forget a task with a wrong definition."""
    _scheduled.pop(_key(task), None)


def _key(task: Task[..., Any]) -> tuple[str, str, str]:
    return task.func.__module__, task.func.__qualname__, task.name


def entries() -> Iterator[tuple[str, Any]]:
    """Return (name, entry) of each declared schedule: those in the settings, then those of loaded tasks.

    Raises:
        ConfigurationError: TASK_SCHEDULE is not a dict.
    """
    yield from task_settings.schedule().items()
    if not _scheduled:
        return
    from streamtasks.schedules.declared import entry_of

    for task in list(_scheduled.values()):
        # Read now: the path of a class-based task is known only once its module has been executed.
        yield task.registered_name, entry_of(task, task.schedule)


def alias_of(entry: Any) -> str | None:
    """Return the backend alias of an entry; None if its task or its backend is unknown."""
    task = entry.get("task") if isinstance(entry, Mapping) else None
    if isinstance(task, str):
        task = known_task(task)
    options: Any = entry.get("options") if isinstance(entry, Mapping) else None
    alias = options.get("backend") if isinstance(options, Mapping) else None
    if isinstance(task, Signature):
        alias = alias or task.options.backend
        task = task.origin
    routed: Any = getattr(task, "routed", None)
    if alias is None:
        alias = getattr(task if routed is None else routed(), "backend", None)
    return alias if alias in task_backends.settings else None
