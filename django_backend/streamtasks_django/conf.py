"""Settings of a project, read: ``TASKS[alias]["OPTIONS"]`` and ``STREAMTASKS``.

OPTIONS of a backend, all optional:

==================  ==============================================================================
``url``             ``redis://[user:password@]host:port/db``, ``rediss://`` or ``unix://``
``connection``      the same in parts: ``{"host", "port", "db", "username", "password", "ssl", ...}``,
                    keyword arguments of a redis-py connection
``connection_pool`` a ``redis.ConnectionPool``; where it connects to and how is taken over, its
                    connections are not
``key_prefix``      every key begins with it. ``"streamtasks:"`` for the alias ``default``, else
                    ``"streamtasks:<alias>:"``: two aliases on one server never meet
``result_expires``  how long a success is kept: seconds or a timedelta (1 day; at least 15 minutes)
``failure_expires`` the same for other outcomes (7 days)
``max_retries``     how often a task may be retried that does not say; else ``TASK_MAX_RETRIES``
``default_retry_delay`` seconds before such a retry; else ``TASK_DEFAULT_RETRY_DELAY``
``lease``           seconds or a timedelta a worker's claim lives without renewal (30)
``timeout``         for how long a call is repeated before ``StoreUnavailable`` (10)
``max_payload_bytes``, ``max_dead_letters``, ``max_connections``, ``crash_limit``, ``crash_delay``,
``lost_limit``, ``unknown_task_limit``, ``unknown_task_delay``: as `streamtasks.StoreSettings` has them
``serializer``      how calls and results are written: ``"json"``, ``"msgpack"`` or ``"pickle"``; the default
                    is ``TASK_SERIALIZER``, and that of it ``"json"``. Only a process that says pickle reads
                    pickles, and only signed ones
``signing_keys``    secrets for pickle: the first signs, all are accepted (SECRET_KEY and
                    SECRET_KEY_FALLBACKS)
``compression``     ``"gzip"``, ``"lz4"``, ``"zstd"`` or None, for what takes 1 KiB or more
``send_events``     True: what happens to tasks is written into a capped stream (``TASK_SEND_EVENTS``)
``max_events``      about so many of its entries are kept (10,000)
``max_decompressed_bytes``  what would become larger is refused (16 MiB, or ``max_payload_bytes``)
``worker``          options of the worker for this alias; they win over ``STREAMTASKS["WORKER"]``
==================  ==============================================================================

``STREAMTASKS``, for the whole process:

==================  ==============================================================================
``WORKER``          options of workers: ``{"concurrency": 4, "threads": 8, "queues": [...], ...}``
``MIDDLEWARE``      dotted paths of `streamtasks.Middleware` classes; the first is outermost
``MAY_VIEW_TASK``   dotted path of ``may_view(user, task_id) -> bool``, which says who may see a task
                    over a WebSocket (every user who is logged in)
``IMPORT_URLCONF``  False: workers do not import ROOT_URLCONF to find tasks defined beside views
==================  ==============================================================================

``TASK_IMPORTS`` is a list of modules that define tasks and are no app's ``tasks.py``. The documented settings
``TASK_...`` stand in `streamtasks_django.tasks.task_settings`; OPTIONS win over them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, Final

import redis
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from streamtasks import ConfigurationError, Middleware, StoreSettings
from streamtasks.protocol.wire import SERIALIZERS
from streamtasks.stores.redis import connections
from streamtasks.tasks.call_options import seconds

from .tasks import task_settings
from .tasks.task_settings import RETRY_OPTIONS

__all__ = [
    "OPTIONS",
    "STREAMTASKS",
    "import_urlconf",
    "may_view_task",
    "middleware",
    "settings_of",
    "store_settings",
    "suggestion",
    "task_imports",
    "worker_defaults",
]

_SECONDS: Final = {
    "result_expires": "result_expires_s",
    "failure_expires": "failure_expires_s",
    "lease": "lease_s",
    "timeout": "timeout_s",
    "crash_delay": "crash_delay_s",
    "unknown_task_delay": "unknown_task_delay_s",
}
_PLAIN: Final = (
    "key_prefix",
    "compression",
    "max_decompressed_bytes",
    "max_payload_bytes",
    "max_dead_letters",
    "max_events",
    "send_events",
    "max_connections",
    "crash_limit",
    "lost_limit",
    "unknown_task_limit",
)
_WAYS: Final = ("url", "connection", "connection_pool")

OPTIONS: Final = frozenset({*_SECONDS, *_PLAIN, *_WAYS, "serializer", "signing_keys", "worker", *RETRY_OPTIONS})
"""Every key that OPTIONS may have."""

STREAMTASKS: Final = frozenset({"IMPORT_URLCONF", "MAY_VIEW_TASK", "MIDDLEWARE", "WORKER"})
"""Every key that the setting STREAMTASKS may have."""

_OF_A_POOL: Final = (
    "host", "port", "db", "username", "password", "credential_provider", "path", "client_name",
    "socket_timeout", "socket_connect_timeout", "socket_keepalive", "socket_keepalive_options", "socket_type",
)  # fmt: skip
"""What is taken over of a pool's connections, besides ``ssl_*``: the rest is redis-py's own business."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` if a known name is like this one, else nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def store_settings(alias: str, options: Mapping[str, Any]) -> StoreSettings:
    """Read the OPTIONS of one alias. Unknown keys are left to the system checks.

    Raises:
        ConfigurationError: two options contradict each other, or one has a wrong value.
    """
    if not isinstance(options, Mapping):
        raise ConfigurationError(f"OPTIONS is {options!r}; it must be a dict.")
    given = [way for way in _WAYS if options.get(way) is not None]
    if len(given) > 1:
        raise ConfigurationError(f"{' and '.join(given)} are given; say only once where the server is.")
    values: dict[str, Any] = {"key_prefix": "streamtasks:" if alias == "default" else f"streamtasks:{alias}:"}
    values["send_events"] = getattr(django_settings, "TASK_SEND_EVENTS", False) is True  # what it is else, a check says
    values.update((name, options[name]) for name in _PLAIN if name in options)
    values.update(_serialization(options))
    expires = task_settings.result_expires()
    if expires is not None:
        values["result_expires_s"] = seconds(expires)
    for name, target in _SECONDS.items():
        if name in options:
            value = options[name]
            values[target] = value.total_seconds() if isinstance(value, timedelta) else value
    if "url" in given:
        if not isinstance(options["url"], str):
            raise ConfigurationError(f"url is {options['url']!r}; it must be a string.")
        values["url"] = options["url"]
    elif "connection" in given:
        values.update(_at(_connection(options["connection"])))
    elif "connection_pool" in given:
        values.update(_at(_of_pool(options["connection_pool"])))
    settings = StoreSettings(**values)
    if settings.is_memory:
        return settings
    try:
        connections.new_connection(settings)  # connects to nothing: it only tells whether redis-py takes the options
    except TypeError as error:
        raise ConfigurationError(f"connection: {error}") from error
    return settings


def _serialization(options: Mapping[str, Any]) -> dict[str, Any]:
    serializer = options.get("serializer")
    if serializer is None:
        serializer = getattr(django_settings, "TASK_SERIALIZER", None) or "json"
        if serializer not in SERIALIZERS:
            raise ConfigurationError(
                f"The setting TASK_SERIALIZER is {serializer!r}; it must be one of {', '.join(SERIALIZERS)}."
            )
    keys = options.get("signing_keys")
    if keys is None:
        keys = _secret_keys() if serializer == "pickle" else ()
    return {"serializer": serializer, "signing_keys": keys}


def _secret_keys() -> tuple[str, ...]:
    try:
        return (django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS)
    except ImproperlyConfigured as error:
        raise ConfigurationError(f"serializer is 'pickle', which signs: {error} Or give signing_keys.") from error


def _at(connection: dict[str, Any]) -> dict[str, Any]:
    """Return where the server is as settings of the engine; sockets of the file system are named by a URL."""
    path = connection.pop("path", None)
    if path is None:
        return {"connection": connection}
    for name in ("host", "port", "connection_class"):
        connection.pop(name, None)
    return {"url": f"unix://{path}", "connection": connection}


def _connection(given: Any) -> dict[str, Any]:
    """Translate what ``redis.Redis()`` takes into what its connections take."""
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"connection is {given!r}; it must be a dict such as {{'host': ..., 'port': ...}}.")
    options = dict(given)
    if options.pop("ssl", False):
        options["connection_class"] = redis.SSLConnection
    if "unix_socket_path" in options:
        options["path"] = options.pop("unix_socket_path")
    for name in ("port", "db"):
        value = options.get(name)
        if isinstance(value, str) and value.isdigit():  # from the environment
            options[name] = int(value)
        elif value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise ConfigurationError(f"connection {name} is {value!r}; it must be a whole number.")
    return options


def _of_pool(pool: Any) -> dict[str, Any]:
    if not isinstance(pool, redis.ConnectionPool):
        raise ConfigurationError(
            f"connection_pool is {pool!r}; it must be a redis.ConnectionPool (also for asynchronous code)."
        )
    options = {
        name: value
        for name, value in pool.connection_kwargs.items()
        if (name in _OF_A_POOL or name.startswith("ssl_")) and value is not None
    }
    if pool.connection_class is not redis.Connection:
        options["connection_class"] = pool.connection_class
    return options


_settings_of: dict[str, tuple[Any, StoreSettings]] = {}


def settings_of(alias: str, params: Mapping[str, Any]) -> StoreSettings:
    """Return `store_settings` of ``TASKS[alias]``, read once: Django makes backends per thread and per request.

    Raises:
        ConfigurationError: see `store_settings`.
    """
    known = _settings_of.get(alias)
    if known is None or known[0] is not params:
        known = _settings_of[alias] = (params, store_settings(alias, params.get("OPTIONS") or {}))
    return known[1]


def _streamtasks() -> Mapping[str, Any]:
    value = getattr(django_settings, "STREAMTASKS", None) or {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"The setting STREAMTASKS is {value!r}; it must be a dict.")
    return value


def import_urlconf() -> bool:
    """Whether workers import the root URLconf."""
    return bool(_streamtasks().get("IMPORT_URLCONF", True))


def task_imports() -> Sequence[str]:
    """Return the modules in ``TASK_IMPORTS``.

    Raises:
        ConfigurationError: it is no list of strings.
    """
    value = getattr(django_settings, "TASK_IMPORTS", None) or ()
    if isinstance(value, str) or not all(isinstance(name, str) for name in value):
        raise ConfigurationError(f"The setting TASK_IMPORTS is {value!r}; it must be a list of module names.")
    return tuple(value)


def worker_defaults(options: Mapping[str, Any], alias: str = "") -> dict[str, Any]:
    """Return what the settings say of a worker that serves an alias with these OPTIONS.

    ``worker`` in OPTIONS wins over ``TASK_WORKERS``, and that over ``STREAMTASKS["WORKER"]``.

    Raises:
        ConfigurationError: one of them is no dict, or TASK_WORKERS has an unknown key.
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
    """Return one instance of each class in ``STREAMTASKS["MIDDLEWARE"]``, the same ones in the whole process.

    Raises:
        ConfigurationError: a path cannot be imported, or is no `Middleware`.
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
            f"STREAMTASKS['MIDDLEWARE'] names {path!r}, which is no subclass of streamtasks.Middleware."
        )
    return cls()


@cache
def may_view_task() -> Callable[[Any, str], Any] | None:
    """Return the function that ``STREAMTASKS["MAY_VIEW_TASK"]`` names, None if it names none.

    Raises:
        ConfigurationError: it cannot be imported, or called.
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
            f"STREAMTASKS['MAY_VIEW_TASK'] is {path!r}, which is no function; "
            "name one that takes a user and a task's id."
        )
    return function  # type: ignore[no-any-return]


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "STREAMTASKS":
        middleware.cache_clear()
        may_view_task.cache_clear()
    elif setting in (
        "TASKS", "TASK_RESULT_EXPIRES", "TASK_SEND_EVENTS", "TASK_SERIALIZER", "SECRET_KEY", "SECRET_KEY_FALLBACKS",
    ):  # fmt: skip
        _settings_of.clear()


setting_changed.connect(_forget, dispatch_uid="streamtasks.conf")
