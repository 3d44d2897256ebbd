"""Read ``STREAMTASKS``, the settings for the whole process.

==================  ==============================================================================
``WORKER``          options of workers: ``{"concurrency": 4, "threads": 8, "queues": [...], ...}``
``MIDDLEWARE``      dotted paths of `streamtasks.Middleware` classes; the first is outermost
``MAY_VIEW_TASK``   dotted path of ``may_view(user, task_id) -> bool``, which decides who may see a
                    task over a WebSocket (default: every user who is logged in)
``IMPORT_URLCONF``  False: workers do not import ROOT_URLCONF to find tasks defined beside views
==================  ==============================================================================

``TASK_IMPORTS`` is a list of modules that define tasks and are no app's ``tasks.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from django.conf import settings as django_settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from streamtasks import ConfigurationError, Middleware

from . import task_settings

__all__ = ["STREAMTASKS", "import_urlconf", "may_view_task", "middleware", "task_imports", "worker_defaults"]

STREAMTASKS: Final = frozenset({"IMPORT_URLCONF", "MAY_VIEW_TASK", "MIDDLEWARE", "WORKER"})
"""Every key that the setting STREAMTASKS may have."""


def _streamtasks() -> Mapping[str, Any]:
    value = getattr(django_settings, "STREAMTASKS", None) or {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"The setting STREAMTASKS is {value!r}; it must be a dict.")
    return value


def import_urlconf() -> bool:
    """Return whether workers import the root URLconf."""
    return bool(_streamtasks().get("IMPORT_URLCONF", True))


def task_imports() -> Sequence[str]:
    """Return the modules in ``TASK_IMPORTS``.

    Raises:
        ConfigurationError: the value is not a list of strings.
    """
    value = getattr(django_settings, "TASK_IMPORTS", None) or ()
    if isinstance(value, str) or not all(isinstance(name, str) for name in value):
        raise ConfigurationError(f"The setting TASK_IMPORTS is {value!r}; it must be a list of module names.")
    return tuple(value)


def worker_defaults(options: Mapping[str, Any], alias: str = "") -> dict[str, Any]:
    """Return the default options of a worker for an alias with these OPTIONS.

    ``worker`` in OPTIONS overrides ``TASK_WORKERS``, which overrides ``STREAMTASKS["WORKER"]``.

    Raises:
        ConfigurationError: one of them is not a dict, or TASK_WORKERS has an unknown key.
    """
    found: dict[str, Any] = {}
    for name, value in (
        ("STREAMTASKS['WORKER']", _streamtasks().get("WORKER")),
        ("TASK_WORKERS", task_settings.worker_options(alias)),
        ("worker", options.get("worker")),
    ):
        if value is None:
            continue
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{name} is {value!r}; it must be a dict.")
        found.update(value)
    return found


@cache
def middleware() -> tuple[Middleware, ...]:
    """Return one instance of each class in ``STREAMTASKS["MIDDLEWARE"]``, shared by the whole process.

    Raises:
        ConfigurationError: a path cannot be imported, or does not name a `Middleware`.
    """
    paths = _streamtasks().get("MIDDLEWARE") or ()
    if isinstance(paths, str):
        raise ConfigurationError(f"STREAMTASKS['MIDDLEWARE'] is {paths!r}; it must be a list of dotted paths.")
    return tuple(_one_middleware(path) for path in paths)


def _one_middleware(path: str) -> Middleware:
    try:
        cls = import_string(path)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"STREAMTASKS['MIDDLEWARE'] names {path!r}: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, Middleware)):
        raise ConfigurationError(
            f"STREAMTASKS['MIDDLEWARE'] names {path!r}, which is not a subclass of streamtasks.Middleware."
        )
    return cls()


@cache
def may_view_task() -> Callable[[Any, str], Any] | None:
    """Return the function that ``STREAMTASKS["MAY_VIEW_TASK"]`` names, None if it is unset.

    Raises:
        ConfigurationError: the path cannot be imported, or does not name a function.
    """
    path = _streamtasks().get("MAY_VIEW_TASK")
    if path is None:
        return None
    try:
        function = import_string(path)
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigurationError(f"STREAMTASKS['MAY_VIEW_TASK'] is {path!r}: {error}") from error
    if not callable(function):
        raise ConfigurationError(
            f"STREAMTASKS['MAY_VIEW_TASK'] is {path!r}, which is not a function; "
            "name one that takes a user and a task's id."
        )
    return function  # type: ignore[no-any-return]


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "STREAMTASKS":
        middleware.cache_clear()
        may_view_task.cache_clear()


setting_changed.connect(_forget, dispatch_uid="streamtasks.conf.project")
