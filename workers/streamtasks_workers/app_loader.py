"""Load the apps that a worker serves: ``--app module:attribute``, or a framework's project."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from streamtasks import StreamTasks
from streamtasks.application import Application
from streamtasks.exceptions import ConfigurationError
from streamtasks.protocol.absent_module import is_absent

from .plugins import plugin

__all__ = ["load"]


def load(app: str | None, settings: str | None, backends: Sequence[str]) -> list[Application]:
    """Return the apps to serve.

    Raises:
        ConfigurationError: nothing to serve was named, or it cannot be found.
        ModuleNotFoundError: the app's module imports one that is not installed.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as ``python -m`` and manage.py do
    if app:
        return [_from_module(app)]
    if settings or os.environ.get("DJANGO_SETTINGS_MODULE"):
        return plugin("django").load(settings, backends)
    raise ConfigurationError(
        "Nothing to serve: give --app module:app, or --settings (or DJANGO_SETTINGS_MODULE) for a Django project."
    )


def _from_module(path: str) -> Application:
    module_name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not is_absent(module_name, error):
            raise
        raise ConfigurationError(f"--app {path}: {error}. Is it importable from {Path.cwd()}?") from error
    if attribute:
        found = getattr(module, attribute, None)
        if not isinstance(found, StreamTasks):
            raise ConfigurationError(f"--app {path}: {module_name} has no StreamTasks app named {attribute!r}.")
    else:
        apps = [value for value in vars(module).values() if isinstance(value, StreamTasks)]
        if len(apps) != 1:
            raise ConfigurationError(f"--app {path}: {module_name} has {len(apps)} apps; write {module_name}:NAME.")
        found = apps[0]
    if found.label == "app":
        found.owner.label = path
    return found
