"""The documented spelling itself: names that Django lacks, put under ``django.tasks``. Opt-in, for settings.py."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

__all__ = ["install_as_django_tasks", "say"]

logger = logging.getLogger("streamtasks.django")

_MODULES: Final = {
    "django.tasks.backends.memory": "streamtasks_django.backends.memory",
    "django.tasks.backends.redis": "streamtasks_django.backends.redis",
    "django.tasks.schedules": "streamtasks_django.schedules",
}
"""Modules that Django lacks, and ours that stand in for them."""

_NAMES: Final = {
    "django.tasks": ("streamtasks_django", ("Task", "chain", "chord", "get_task_backend", "group")),
    "django.tasks.exceptions": ("streamtasks_django.exceptions", None),
}
"""Modules of Django that lack names, ours that have them, and which; None: all in ``__all__``."""

_REPLACED: Final = ("django.tasks", "Task")
"""The one name of Django's that is replaced: its own cannot be subclassed to define a task."""

_installed: list[str] = []


def install_as_django_tasks() -> list[str]:
    """Add the documented names that Django lacks under ``django.tasks``; return them.

    Call it at the top of settings.py. No name that Django has is replaced but ``django.tasks.Task``, which becomes
    the base of class-based tasks (``django.tasks.base.Task`` stays what it is). Calling it again does nothing, and no
    setting is read. The logger ``streamtasks.django`` tells what was added.
    """
    if _installed:
        return list(_installed)
    for name, (ours, wanted) in _NAMES.items():
        _installed.extend(_add_names(importlib.import_module(name), importlib.import_module(ours), wanted))
    for name, ours in _MODULES.items():
        if importlib.util.find_spec(name) is None and importlib.util.find_spec(ours) is not None:
            _add_module(name, ours)
            _installed.append(name)
    say()
    return list(_installed)


def say() -> None:
    """Tell what was added, if anything was. Logging is set up only after the settings are read, so apps do it again."""
    if _installed:
        logger.info("streamtasks is installed as django.tasks; added or replaced: %s", ", ".join(_installed))


def _add_names(target: ModuleType, ours: ModuleType, wanted: tuple[str, ...] | None) -> list[str]:
    added = []
    for name in wanted or ours.__all__:
        if hasattr(target, name) and (target.__name__, name) != _REPLACED:
            continue
        setattr(target, name, getattr(ours, name))
        listed: Any = getattr(target, "__all__", None)
        if isinstance(listed, list) and name not in listed:
            listed.append(name)
        added.append(f"{target.__name__}.{name}")
    return added


def _add_module(name: str, ours: str) -> None:
    """Add a module that is loaded when something of it is asked for: settings are not there yet."""
    module = ModuleType(name, f"``{ours}`` under the documented name.")
    module.__spec__ = ModuleSpec(name, None, origin=ours)

    def get(attribute: str) -> Any:
        return getattr(importlib.import_module(ours), attribute)

    module.__getattr__ = get  # type: ignore[method-assign]
    parent, _, last = name.rpartition(".")
    sys.modules[name] = module
    setattr(importlib.import_module(parent), last, module)
