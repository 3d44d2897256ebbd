"""Which schedules a project declares: ``TASK_SCHEDULE`` and ``@task(schedule=...)``, and on which backend each is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from django.tasks import task_backends
from django.tasks.exceptions import InvalidTaskBackend

from streamtasks.tasks.signature import Signature

from . import task_settings
from .registry import known_task

if TYPE_CHECKING:
    from .stream_task import StreamTask

__all__ = ["alias_of", "entries", "first_alias", "forget", "register"]

_scheduled: dict[tuple[str, str, str], StreamTask] = {}


def register(task: StreamTask) -> bool:
    """Remember a task that is defined with a schedule; False: a copy of one that is known."""
    place = (task.func.__module__, task.func.__qualname__, task.name)
    known = _scheduled.get(place)
    if known is not None and known.func is task.func:
        return False
    _scheduled[place] = task  # also if its module was loaded anew
    return True


def forget(task: StreamTask) -> None:
    """Forget a task whose definition was wrong."""
    _scheduled.pop((task.func.__module__, task.func.__qualname__, task.name), None)


def entries() -> Iterator[tuple[str, Any]]:
    """Return (name, entry) of what is declared: the settings, then the tasks that are loaded.

    Raises:
        ConfigurationError: TASK_SCHEDULE is no dict.
    """
    yield from task_settings.schedule().items()
    if not _scheduled:
        return
    from streamtasks.schedules.declared import entry_of

    for task in list(_scheduled.values()):
        yield task.registered_name, entry_of(task, task.schedule)


def alias_of(entry: Any) -> str | None:
    """Return the alias whose schedule an entry is; None if it has no task that is known here, or no such backend."""
    task = entry.get("task") if isinstance(entry, Mapping) else None
    if isinstance(task, str):
        task = known_task(task)
    said: Any = entry.get("options") if isinstance(entry, Mapping) else None
    alias = said.get("backend") if isinstance(said, Mapping) else None
    if isinstance(task, Signature):
        alias = alias or task.options.backend
        task = task.origin
    routed: Any = getattr(task, "routed", None)
    if alias is None:
        alias = getattr(task if routed is None else routed(), "backend", None)
    return alias if alias in task_backends.settings else None


def first_alias() -> str | None:
    """Return the first alias of TASKS that keeps schedules: entries without a task are told of there."""
    from ..backends.base import StoreBackend

    for alias in task_backends.settings:
        try:
            if isinstance(task_backends[alias], StoreBackend):
                return str(alias)
        except InvalidTaskBackend:
            continue
    return None
