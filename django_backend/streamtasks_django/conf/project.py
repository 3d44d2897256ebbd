"""Read ``STREAMTASKS``, the settings for the whole process.

==================  ==============================================================================
``WORKER``          options of workers: ``{"concurrency": 4, "threads": 8, "queues": [...], ...}``
``MIDDLEWARE``      dotted paths of `streamtasks.Middleware` classes; the first is outermost
``MAY_VIEW_TASK``   dotted path of ``may_view(user, task_id) -> bool``, which decides who may see a
                    task over a WebSocket (default: every user who is logged in)
``DASHBOARD_ROLES``   dotted path of ``roles(request) -> iterable of roles``, which decides who may
                    do what on the dashboard (default: staff, by their permissions)
``DASHBOARD_REDACT``  dotted path of ``redact(kind, task, value) -> value``, which changes what the
                    dashboard shows of arguments, results and errors
``IMPORT_URLCONF``  False: workers do not import ROOT_URLCONF to find tasks defined beside views
==================  ==============================================================================

``TASK_IMPORTS`` is a list of modules that define tasks and are no app's ``tasks.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from django.conf import settings as django_settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from streamtasks import ConfigurationError, Middleware
from streamtasks.integrations.active import active_middleware
from streamtasks.protocol.absent_module import is_absent

from . import task_settings

__all__ = [
    "STREAMTASKS",
    "dashboard_redact",
    "dashboard_roles",
    "dashboard_tokens",
    "import_urlconf",
    "may_view_task",
    "middleware",
    "task_imports",
    "worker_defaults",
]

STREAMTASKS: Final = frozenset(
    {
        "DASHBOARD_REDACT",
        "DASHBOARD_ROLES",
        "DASHBOARD_TOKENS",
        "IMPORT_URLCONF",
        "MAY_VIEW_TASK",
        "MIDDLEWARE",
        "WORKER",
    }
)
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

    After `sentry_sdk.init()`, `streamtasks.integrations.sentry.Sentry` is before them by itself.

    Raises:
        ConfigurationError: a path does not name a `Middleware`.
        Exception: the module of one raises it.
    """
    paths = _streamtasks().get("MIDDLEWARE") or ()
    if isinstance(paths, str):
        raise ConfigurationError(f"STREAMTASKS['MIDDLEWARE'] is {paths!r}; it must be a list of dotted paths.")
    given = [_one_middleware(path) for path in paths]
    return (*active_middleware(given), *given)


def _one_middleware(path: str) -> Middleware:
    cls = _named("MIDDLEWARE", path)
    if not (isinstance(cls, type) and issubclass(cls, Middleware)):
        raise ConfigurationError(
            f"STREAMTASKS['MIDDLEWARE'] names {path!r}, which is not a subclass of streamtasks.Middleware."
        )
    return cls()


@cache
def may_view_task() -> Callable[[Any, str], Any] | None:
    """Return the function that ``STREAMTASKS["MAY_VIEW_TASK"]`` names, None if it is unset.

    Raises:
        ConfigurationError: the path does not name a function.
        Exception: its module raises it.
    """
    return _function("MAY_VIEW_TASK", "a user and a task's id")


@cache
def dashboard_roles() -> Callable[[Any], Any] | None:
    """Return the function that ``STREAMTASKS["DASHBOARD_ROLES"]`` names, None if it is unset.

    Raises:
        ConfigurationError: the path does not name a function.
        Exception: its module raises it.
    """
    return _function("DASHBOARD_ROLES", "a request")


@cache
def dashboard_redact() -> Callable[[str, str, Any], Any] | None:
    """Return the function that ``STREAMTASKS["DASHBOARD_REDACT"]`` names, None if it is unset.

    Raises:
        ConfigurationError: the path does not name a function.
        Exception: its module raises it.
    """
    return _function("DASHBOARD_REDACT", "a kind, a task's name and a value")


def dashboard_tokens() -> Mapping[str, Any]:
    """Return what ``STREAMTASKS["DASHBOARD_TOKENS"]`` holds, or the file that it names.

    Raises:
        ConfigurationError: it is no mapping and names no file with one.
    """
    value = _streamtasks().get("DASHBOARD_TOKENS", {})
    if isinstance(value, str | Path):
        try:
            value = json.loads(Path(value).read_text("utf-8") or "{}")
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"STREAMTASKS['DASHBOARD_TOKENS'] names the file {str(value)!r}, which cannot be read as JSON: {error}."
            ) from error
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            f"STREAMTASKS['DASHBOARD_TOKENS'] is {value!r:.100}; it must be a dict, or the path of a JSON file with it."
        )
    return value


def _function(key: str, takes: str) -> Callable[..., Any] | None:
    path = _streamtasks().get(key)
    if path is None:
        return None
    function = _named(key, path)
    if not callable(function):
        raise ConfigurationError(
            f"STREAMTASKS[{key!r}] is {path!r}, which is not a function; name one that takes {takes}."
        )
    return function  # type: ignore[no-any-return]


def _named(key: str, path: Any) -> Any:
    """Return what a dotted path in STREAMTASKS names."""
    if not isinstance(path, str):
        raise ConfigurationError(f"STREAMTASKS[{key!r}] has {path!r}; it must be a dotted path.")
    try:
        return import_string(path)
    except ImportError as error:
        if error.name is not None and not is_absent(path, error):
            raise  # the module is there and fails itself
        raise ConfigurationError(f"STREAMTASKS[{key!r}] names {path!r}: {error}.") from error


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "STREAMTASKS":
        middleware.cache_clear()
        may_view_task.cache_clear()
        dashboard_roles.cache_clear()
        dashboard_redact.cache_clear()


setting_changed.connect(_forget, dispatch_uid="streamtasks.conf.project")
