"""Add the documented names that Django lacks under ``django.tasks``. Opt-in, for settings.py."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from .framework import alias_backport

__all__ = ["install_as_django_tasks", "log_installed"]

logger = logging.getLogger("streamtasks.django")

_MODULES: Final = {
    "django.tasks.backends.database": "streamtasks_django.backends.database",
    "django.tasks.backends.database.models": "streamtasks_django.backends.database.models",
    "django.tasks.backends.memory": "streamtasks_django.backends.memory",
    "django.tasks.backends.redis": "streamtasks_django.backends.redis",
    "django.tasks.models": "streamtasks_django.models",
    "django.tasks.schedules": "streamtasks_django.schedules",
}
"""Modules that Django lacks, and the modules of this package in their place; a package before what is in it."""

_NAMES: Final = {
    "django.tasks": ("streamtasks_django", ("Task", "chain", "chord", "get_task_backend", "group")),
    "django.tasks.exceptions": ("streamtasks_django.exceptions", None),
}
"""Modules of Django that lack names, the modules that have them, and the names; None: all in ``__all__``."""

_REPLACED: Final = ("django.tasks", "Task")
"""The only name of Django that is replaced: its class cannot be subclassed to define a task."""

_installed: list[str] = []


def install_as_django_tasks() -> list[str]:
    """Add the documented names that Django lacks under ``django.tasks``; return them.

    Call it at the top of settings.py. Existing names are not replaced, except ``django.tasks.Task``, which becomes the
    base of class-based tasks (``django.tasks.base.Task`` is unchanged). A second call does nothing, and no setting is
    read. The logger ``streamtasks.django`` lists the added names.
    """
    if _installed:
        return list(_installed)
    alias_backport()
    for name, (source, wanted) in _NAMES.items():
        _installed.extend(_add_names(importlib.import_module(name), importlib.import_module(source), wanted))
    for name, source in _MODULES.items():
        if _is_absent(name):
            _add_module(name, source)
            _installed.append(name)
    log_installed()
    return list(_installed)


def log_installed() -> None:
    """Log the added names. Logging is set up only after the settings are read, so the app calls this again."""
    if _installed:
        logger.info("streamtasks is installed as django.tasks; added or replaced: %s", ", ".join(_installed))


def _is_absent(name: str) -> bool:
    parent = sys.modules.get(name.rpartition(".")[0])
    if parent is not None and "__path__" not in vars(parent):  # one of ours: a module without files
        return name not in sys.modules
    return importlib.util.find_spec(name) is None


def _add_names(target: ModuleType, source: ModuleType, wanted: tuple[str, ...] | None) -> list[str]:
    added = []
    for name in wanted or source.__all__:
        if hasattr(target, name) and (target.__name__, name) != _REPLACED:
            continue
        setattr(target, name, getattr(source, name))
        listed: Any = getattr(target, "__all__", None)
        if isinstance(listed, list) and name not in listed:
            listed.append(name)
        added.append(f"{target.__name__}.{name}")
    return added


def _add_module(name: str, source: str) -> None:
    """Add a module that is loaded at the first access: the settings are not ready yet."""
    module = ModuleType(name, f"``{source}`` under the documented name.")
    module.__spec__ = ModuleSpec(name, None, origin=source)

    def get(attribute: str) -> Any:
        return getattr(importlib.import_module(source), attribute)

    module.__getattr__ = get  # type: ignore[method-assign]
    parent, _, last = name.rpartition(".")
    sys.modules[name] = module
    setattr(importlib.import_module(parent), last, module)
