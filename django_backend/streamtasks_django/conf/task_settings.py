"""Read the documented settings ``TASK_...``.

============================  ==================================================================
``TASK_ROUTES``               name of a task, or a glob over names, -> ``{"backend", "queue",
                              "priority"}``; an exact name wins over globs, earlier globs over later
``TASK_WORKERS``              alias -> ``{"concurrency", "max_tasks_per_worker", "timeout"}``:
                              children of a worker for it, tasks until a child is replaced, hard
                              limit of tasks without one, seconds
``TASK_RESULT_EXPIRES``       how long a success is kept, seconds or a timedelta
``TASK_MAX_RETRIES``          how often a task may be retried by default (3); None: for ever
``TASK_DEFAULT_RETRY_DELAY``  seconds or a timedelta before such a retry (60)
``TASK_SCHEDULE``             name of a schedule -> ``{"task", "schedule", "args", "kwargs", "options", "misfire",
                              "misfire_bound"}``: a task that is enqueued repeatedly; see docs/schedules.md
``TASK_SEND_EVENTS``          True: write an event for each change of a task into a capped stream (False)
``TASK_TRACK_STARTED``        False: show a running task as a queued one until it finishes (True)
============================  ==================================================================

The first of these that is set applies: the call, ``TASK_ROUTES``, the decorator, OPTIONS of the alias, these settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Final, NamedTuple

from django.conf import settings as django_settings
from django.core.signals import setting_changed

from streamtasks import ConfigurationError
from streamtasks.exceptions import InvalidTask, UnknownQueue
from streamtasks.protocol.keys import check_queue
from streamtasks.protocol.validation import check_count, check_seconds
from streamtasks.tasks.options import seconds

__all__ = [
    "KNOWN",
    "RETRY_OPTIONS",
    "ROUTE",
    "WORKERS",
    "Route",
    "check_retry_options",
    "default_retry_delay_s",
    "hides_started",
    "max_retries",
    "result_expires",
    "route_of",
    "routes",
    "schedule",
    "send_events",
    "track_started",
    "worker_options",
]

KNOWN: Final = frozenset(
    {
        "TASK_DEFAULT_RETRY_DELAY",
        "TASK_IMPORTS",
        "TASK_MAX_RETRIES",
        "TASK_RESULT_EXPIRES",
        "TASK_ROUTES",
        "TASK_SCHEDULE",
        "TASK_SEND_EVENTS",
        "TASK_SERIALIZER",
        "TASK_TRACK_STARTED",
        "TASK_WORKERS",
    }
)
"""Every known setting ``TASK_...``."""

ROUTE: Final = frozenset({"backend", "priority", "queue"})
"""Every key of a route."""

WORKERS: Final = {
    "concurrency": "concurrency",
    "max_tasks_per_worker": "max_tasks_per_child",
    "timeout": "time_limit_s",
}
"""Every key of an entry of TASK_WORKERS, and the name of the worker's option."""


RETRY_OPTIONS: Final = frozenset({"default_retry_delay", "max_retries"})
"""Keys of OPTIONS that override TASK_DEFAULT_RETRY_DELAY and TASK_MAX_RETRIES for one alias."""


class Route(NamedTuple):
    """The route of a task's calls; None: the task's own value applies."""

    backend: str | None = None
    queue: str | None = None
    priority: int | None = None


NO_ROUTE: Final = Route()


_EMPTY: Final[dict[str, Any]] = {}


def _setting(name: str, default: Any = None) -> Any:
    return getattr(django_settings, name, default)


def max_retries(options: Mapping[str, Any] = _EMPTY) -> int | None:
    """Return how often tasks of an alias with these OPTIONS may be retried by default.

    Raises:
        ConfigurationError: the value is neither an integer from 0 nor None.
    """
    name, value = _either("max_retries", options, "TASK_MAX_RETRIES", 3)
    if value is not None:
        check_count(name, value, ConfigurationError, least=0)
    return value  # type: ignore[no-any-return]


def default_retry_delay_s(options: Mapping[str, Any] = _EMPTY) -> float:
    """Return the default delay before a retry, seconds.

    Raises:
        ConfigurationError: the value is not a number of seconds.
    """
    name, value = _either("default_retry_delay", options, "TASK_DEFAULT_RETRY_DELAY", 60.0)
    value = seconds(value)
    check_seconds(name, value, ConfigurationError, above_zero=False)
    return value  # type: ignore[no-any-return]


def check_retry_options(options: Any) -> None:
    """Check the retry options in OPTIONS.

    Raises:
        ConfigurationError: a value is wrong.
    """
    given = {name: options[name] for name in RETRY_OPTIONS if isinstance(options, Mapping) and name in options}
    if "max_retries" in given:
        max_retries(given)
    if "default_retry_delay" in given:
        default_retry_delay_s(given)


def _either(name: str, options: Mapping[str, Any], setting: str, default: Any) -> tuple[str, Any]:
    return (name, options[name]) if name in options else (setting, _setting(setting, default))


def result_expires() -> float | timedelta | None:
    """Return TASK_RESULT_EXPIRES, None if it is unset.

    Raises:
        ConfigurationError: the value is not a number of seconds above 0.
    """
    value = _setting("TASK_RESULT_EXPIRES")
    if value is not None:
        check_seconds("TASK_RESULT_EXPIRES", seconds(value), ConfigurationError)
    return value  # type: ignore[no-any-return]


def _switch(name: str, default: bool) -> bool:
    value = _setting(name, default)
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} is {value!r}; it must be True or False.")
    return value


def send_events() -> bool:
    """Return TASK_SEND_EVENTS.

    Raises:
        ConfigurationError: the value is neither True nor False.
    """
    return _switch("TASK_SEND_EVENTS", False)


def track_started() -> bool:
    """Return TASK_TRACK_STARTED.

    Raises:
        ConfigurationError: the value is neither True nor False.
    """
    return _switch("TASK_TRACK_STARTED", True)


def hides_started() -> bool:
    """Return whether TASK_TRACK_STARTED is False. A system check reports a value that is not a bool."""
    return _setting("TASK_TRACK_STARTED", True) is False


def schedule() -> Mapping[str, Any]:
    """Return TASK_SCHEDULE; its entries are not checked.

    Raises:
        ConfigurationError: the value is not a dict, or a key is not a string.
    """
    value = _setting("TASK_SCHEDULE") or {}
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ConfigurationError(f"TASK_SCHEDULE is {value!r}; it must be a dict of entries by schedule names.")
    return value


def worker_options(alias: str) -> dict[str, Any]:
    """Return the options in TASK_WORKERS for workers of this alias, by the worker's own names.

    Raises:
        ConfigurationError: the setting has a wrong type or an unknown key.
    """
    every = _setting("TASK_WORKERS") or {}
    if not isinstance(every, Mapping):
        raise ConfigurationError(f"TASK_WORKERS is {every!r}; it must be a dict of aliases.")
    found = every.get(alias) or {}
    if not isinstance(found, Mapping):
        raise ConfigurationError(f"TASK_WORKERS[{alias!r}] is {found!r}; it must be a dict.")
    for name in found:
        if name not in WORKERS:
            raise ConfigurationError(
                f"TASK_WORKERS[{alias!r}] has the unknown key {name!r}. Known: {', '.join(sorted(WORKERS))}."
            )
    return {WORKERS[name]: seconds(value) for name, value in found.items()}


@cache
def routes() -> tuple[dict[str, Route], tuple[tuple[str, Route], ...]]:
    """Return TASK_ROUTES: routes of exact names, then routes of globs in their order.

    Raises:
        ConfigurationError: the setting has a wrong type, or a route has an unknown key or a wrong value.
    """
    every = _setting("TASK_ROUTES") or {}
    if not isinstance(every, Mapping):
        raise ConfigurationError(f"TASK_ROUTES is {every!r}; it must be a dict of task names.")
    read = {name: _route(name, value) for name, value in every.items()}
    globs = tuple((name, route) for name, route in read.items() if not _GLOB.isdisjoint(name))
    return {name: route for name, route in read.items() if _GLOB.isdisjoint(name)}, globs


_GLOB: Final = frozenset("*?[")


def _route(name: Any, value: Any) -> Route:
    where = f"TASK_ROUTES[{name!r}]"
    if not isinstance(name, str):
        raise ConfigurationError(f"TASK_ROUTES has the key {name!r}; keys are names of tasks, or globs over them.")
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where} is {value!r}; it must be a dict such as {{'queue': 'mail'}}.")
    for key in value:
        if key not in ROUTE:
            raise ConfigurationError(f"{where} has the unknown key {key!r}. Known: {', '.join(sorted(ROUTE))}.")
    try:
        if value.get("queue") is not None:
            check_queue(value["queue"])
        if value.get("priority") is not None:
            check_count("priority", value["priority"], InvalidTask, least=-100, most=100)
    except (InvalidTask, UnknownQueue) as error:
        raise ConfigurationError(f"{where}: {error}") from error
    backend = value.get("backend")
    if backend is not None and backend not in _setting("TASKS", {}):
        raise ConfigurationError(f"{where}: backend is {backend!r}, which is not an alias of TASKS.")
    return Route(**value)


def route_of(*names: str) -> Route:
    """Return the route of a task with these names.

    Raises:
        ConfigurationError: see `routes`.
    """
    exact, globs = routes()
    for name in names:
        if name in exact:
            return exact[name]
    for glob, route in globs:
        if any(fnmatchcase(name, glob) for name in names):
            return route
    return NO_ROUTE


def _forget(*, setting: str, **_: Any) -> None:
    if setting in ("TASKS", "TASK_ROUTES"):
        routes.cache_clear()


setting_changed.connect(_forget, dispatch_uid="streamtasks.task_settings")
