"""Find the tasks that a process knows. Nothing named in a message is ever imported."""

from __future__ import annotations

import logging
import sys
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.utils.module_loading import autodiscover_modules

from streamtasks import ConfigurationError
from streamtasks.protocol.absent_module import is_absent

from ..conf import project
from ..framework import Task
from .names import named, registered_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["discover", "find_task", "known_task", "stand_in", "task_names"]

logger = logging.getLogger("streamtasks.django")

_found: dict[str, Task[..., Any]] = {}
_discovered = False


def discover() -> None:
    """Import the modules that define tasks: every app's ``tasks.py``, ``TASK_IMPORTS`` and the root URLconf.

    Raises:
        ConfigurationError: a module that a setting names does not exist.
        Exception: one of the modules raises it.
    """
    autodiscover_modules("tasks")
    for name in project.task_imports():
        _import(name, f"TASK_IMPORTS names {name!r}")
    urlconf = getattr(settings, "ROOT_URLCONF", None)
    if isinstance(urlconf, str) and project.import_urlconf():
        _import(
            urlconf,
            f"ROOT_URLCONF names {urlconf!r}, which workers import to find tasks that are defined beside views "
            "(STREAMTASKS = {'IMPORT_URLCONF': False} disables that)",
        )


def _import(name: str, why: str) -> None:
    try:
        import_module(name)
    except Exception as error:
        if isinstance(error, ImportError) and is_absent(name, error):
            raise ConfigurationError(f"{why}: {error}.") from error
        error.add_note(f"{why}.")
        raise


def find_task(path: str) -> Task[..., Any] | None:
    """Return the task with this path if its module is loaded, without importing anything."""
    task = _found.get(path)
    if task is None:
        task = _look_up(path)
        if task is not None:
            _found[path] = task
    return task


def task_names() -> list[str]:
    """Return the names of all tasks of loaded modules, without importing or evaluating anything."""
    found = set(registered_names())
    for module in list(sys.modules.values()):
        # The type and not isinstance(), which would evaluate lazy objects.
        for value in list(getattr(module, "__dict__", {}).values()):
            if issubclass(type(value), Task):
                found.add(value.module_path)
    return sorted(found)


def known_task(path: str) -> Task[..., Any] | None:
    """Return the task with this path for a reader of results, which may not have loaded its tasks yet.

    On the first miss the process imports all task modules, as a worker does; errors of that are logged.
    """
    global _discovered
    task = find_task(path)
    if task is None and not _discovered and apps.ready:
        _discovered = True
        try:
            discover()
        except Exception:
            logger.warning("Not all tasks of this project could be imported to read results.", exc_info=True)
        task = find_task(path)
    return task


def _look_up(path: str) -> Task[..., Any] | None:
    task = named(path)
    if task is not None:
        return task
    parts = path.split(".")
    for at in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:at]))
        if module is not None:
            task = _walk(module, parts[at:])
            if isinstance(task, Task) and task.module_path == path:
                return task
            return _by_another_name(module, path)
    return None


def _walk(module: ModuleType, names: list[str]) -> Any:
    # __dict__ and not getattr(): a module's __getattr__ or a property could import or run anything.
    found: Any = module
    for name in names:
        found = getattr(found, "__dict__", {}).get(name)
        if isinstance(found, staticmethod):
            found = found.__func__
    return found


def _by_another_name(module: ModuleType, path: str) -> Task[..., Any] | None:
    """Find ``send_task = task(send)``, where the path names the plain function."""
    for value in list(vars(module).values()):
        if isinstance(value, Task) and value.module_path == path:
            return value
    return None


@lru_cache(maxsize=256)
def stand_in(path: str) -> Callable[..., Any]:
    """Return a function in place of the missing one at this path, so that its results can be shown."""

    def missing(*_args: Any, **_kwargs: Any) -> Any:
        raise LookupError(f"No task {path} is known in this process.")

    module, _, name = path.rpartition(".")
    missing.__module__, missing.__name__, missing.__qualname__ = module, name, name
    return missing
