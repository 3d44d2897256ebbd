"""Read ``TASKS[alias]["OPTIONS"]``. All keys are optional.

==================  ==============================================================================
``url``             ``redis://[user:password@]host:port/db``, ``rediss://``, ``unix://``, or Sentinels:
                    ``redis+sentinel://[user:password@]host:port,host:port/service/db``
``connection``      the same in parts: ``{"host", "port", "db", "username", "password", "ssl", ...}``,
                    the keyword arguments of a redis-py connection; also ``password_file``,
                    ``credential_provider`` as a dotted path, and ``reauthenticate_every``, seconds
``connection_pool`` a ``redis.ConnectionPool``; where it connects to and how is taken over, its
                    connections are not
``key_prefix``      every key begins with it. ``"streamtasks:"`` for the alias ``default``, else
                    ``"streamtasks:<alias>:"``: two aliases on one server never meet
``result_expires``  how long the result of a success is kept: seconds or a timedelta (1 day)
``failure_expires`` the same for other outcomes (7 days)
``queue_expires``   how long the stream of a queue stays that nothing is in and nothing comes to (7 days)
``max_retries``     how often a task may be retried by default (``TASK_MAX_RETRIES``)
``default_retry_delay`` default delay of a retry, seconds (``TASK_DEFAULT_RETRY_DELAY``)
``lease``           seconds or a timedelta a worker's claim lives without renewal (30)
``idle_poll``       how often an idle worker asks the server although nothing has woken it: seconds (2)
``timeout``         how long a call is repeated before ``StoreUnavailable``, seconds (10)
``enqueue_timeout`` the same for enqueueing: seconds (3, or ``timeout`` if that is less)
``durability``      what must have a call before enqueueing returns, unless its task or the call says otherwise:
                    ``"memory"``, ``"replicated"`` or ``"aof"``
``durability_timeout`` how long enqueueing waits for that before ``NotDurable``: seconds (2)
``replicas``        how many replicas must have it (all that the master or a Sentinel knows of)
``ignore_result``   True: the values of successes are not stored, unless a task or a call says otherwise
``max_payload_bytes``, ``max_dead_letters``, ``max_dead_letter_bytes``, ``max_connections``,
``crash_limit``, ``crash_delay``, ``lost_limit``, ``unknown_task_limit``, ``unknown_task_delay``: as
`streamtasks.StoreSettings` has them
``serializer``      how calls and results are written: ``"json"``, ``"msgpack"`` or ``"pickle"``; the default
                    is ``TASK_SERIALIZER``, and that of it ``"json"``. Only a process that says pickle reads
                    pickles, and only signed ones
``signing_keys``    secrets of 32 bytes or more: the first signs calls and results, all are accepted. ``"env:NAME"`` and
                    ``"file:/path"`` name where one is. None; with pickle SECRET_KEY and SECRET_KEY_FALLBACKS
``encryption_keys`` the same for encryption (``streamtasks[crypto]``): the first encrypts, all decrypt
``encrypt``         False: what is encrypted is read, and not written (True)
``require_signed``  True: refuse what is neither signed nor encrypted with one of the keys (False)
``compression``     ``"gzip"``, ``"lz4"``, ``"zstd"`` or None, for what takes 1 KiB or more
``log_bytes``       how much is kept with a task of what its attempts log and print (65,536); 0: nothing
``send_events``     True: write an event for each change of a task (``TASK_SEND_EVENTS``)
``max_events``      about how many events are kept (10,000)
``max_decompressed_bytes``  upper bound of a decompressed message (16 MiB, or ``max_payload_bytes``)
``sentinels``, ``service_name``, ``sentinel_connection``: of RedisSentinelBackend, see
                    `streamtasks_django.conf.sentinel_options`
``on_commit``       True: ``enqueue()`` inside a transaction takes effect when it is committed; the alias of a database:
                    inside one of that database (False)
``outbox``          True: ``enqueue()`` writes a row of the caller's transaction, which a worker relays; the alias of a
                    database: there (False). See `streamtasks_django.outbox`
``result_model``, ``extra_fields``: see `streamtasks_django.conf.row_options`
``worker``          options of the worker for this alias; they win over ``STREAMTASKS["WORKER"]``
==================  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import redis
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from streamtasks import ConfigurationError, StoreSettings
from streamtasks.protocol.wire import SERIALIZERS
from streamtasks.stores.redis import connections
from streamtasks.tasks.options import seconds

from . import task_settings
from .row_options import EXTRA_FIELDS, RESULT_MODEL
from .task_settings import RETRY_OPTIONS

__all__ = ["OPTIONS", "connection_of", "forget_settings", "settings_of", "shown", "store_settings"]

_SECONDS: Final = {
    "result_expires": "result_expires_s",
    "failure_expires": "failure_expires_s",
    "queue_expires": "queue_expires_s",
    "lease": "lease_s",
    "idle_poll": "idle_poll_s",
    "timeout": "timeout_s",
    "enqueue_timeout": "enqueue_timeout_s",
    "durability_timeout": "durability_timeout_s",
    "crash_delay": "crash_delay_s",
    "unknown_task_delay": "unknown_task_delay_s",
}
_PLAIN: Final = (
    "key_prefix",
    "durability",
    "replicas",
    "compression",
    "max_decompressed_bytes",
    "max_payload_bytes",
    "max_dead_letters",
    "max_dead_letter_bytes",
    "log_bytes",
    "max_events",
    "send_events",
    "ignore_result",
    "encryption_keys",
    "encrypt",
    "require_signed",
    "max_connections",
    "crash_limit",
    "lost_limit",
    "unknown_task_limit",
)
_WAYS: Final = ("url", "connection", "connection_pool")

_OTHERS: Final = ("on_commit", "outbox", "serializer", "signing_keys", "worker", EXTRA_FIELDS, RESULT_MODEL)

OPTIONS: Final = frozenset({*_SECONDS, *_PLAIN, *_WAYS, *_OTHERS, *RETRY_OPTIONS})
"""Every key that OPTIONS may have."""

_POOL_OPTIONS: Final = (
    "host", "port", "db", "username", "password", "credential_provider", "path", "client_name",
    "socket_timeout", "socket_connect_timeout", "socket_keepalive", "socket_keepalive_options", "socket_type",
)  # fmt: skip
"""Options that are copied from a pool's connections, besides ``ssl_*``."""


def store_settings(
    alias: str, options: Mapping[str, Any], server: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
) -> StoreSettings:
    """Read the OPTIONS of one alias. A system check reports unknown keys.

    Args:
        alias: the alias.
        options: its OPTIONS.
        server: returns settings of the engine that say where the server is; None: `_server`.

    Raises:
        ConfigurationError: two options contradict each other, or one has a wrong value.
    """
    if not isinstance(options, Mapping):
        raise ConfigurationError(f"OPTIONS is {options!r}; it must be a dict.")
    values: dict[str, Any] = {"key_prefix": "streamtasks:" if alias == "default" else f"streamtasks:{alias}:"}
    values["send_events"] = (
        getattr(django_settings, "TASK_SEND_EVENTS", False) is True
    )  # a system check reports other values
    values.update((name, options[name]) for name in _PLAIN if name in options)
    values.update(_serialization(options))
    expires = task_settings.result_expires()
    if expires is not None:
        values["result_expires_s"] = seconds(expires)
    for name, target in _SECONDS.items():
        if name in options:
            value = options[name]
            values[target] = value.total_seconds() if isinstance(value, timedelta) else value
    values.update((server or _server)(options))
    settings = StoreSettings(**values)
    if settings.is_redis:
        connections.check_options(settings)
    return settings


def _server(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return where one server is: its URL, or the options of a connection."""
    given = [way for way in _WAYS if options.get(way) is not None]
    if len(given) > 1:
        raise ConfigurationError(f"{' and '.join(given)} are given; give only one of them.")
    if "sentinels" in options:
        raise ConfigurationError(
            "sentinels is given: set BACKEND to streamtasks_django.backends.redis.RedisSentinelBackend."
        )
    if "startup_nodes" in options:
        raise ConfigurationError(
            "startup_nodes is given: set BACKEND to streamtasks_django.backends.redis.RedisClusterBackend."
        )
    if "url" in given:
        if not isinstance(options["url"], str):
            raise ConfigurationError(f"url is {shown(options['url'])}; it must be a string.")
        return {"url": options["url"]}
    if "connection" in given:
        return _address(connection_of(options["connection"]))
    if "connection_pool" in given:
        return _address(_of_pool(options["connection_pool"]))
    return {}


def _serialization(options: Mapping[str, Any]) -> dict[str, Any]:
    serializer = options.get("serializer")
    if serializer is None:
        serializer = getattr(django_settings, "TASK_SERIALIZER", None) or "json"
        if serializer not in SERIALIZERS:
            raise ConfigurationError(
                f"The setting TASK_SERIALIZER is {serializer!r}; it must be one of {', '.join(SERIALIZERS)}."
            )
    keys = options.get("signing_keys")
    if keys is not None:
        return {"serializer": serializer, "signing_keys": keys}
    return {"serializer": serializer, "pickle_keys": _secret_keys() if serializer == "pickle" else ()}


def _secret_keys() -> tuple[str, ...]:
    try:
        return (django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS)
    except ImproperlyConfigured as error:
        raise ConfigurationError(f"serializer is 'pickle', which signs: {error} Or give signing_keys.") from error


def _address(connection: dict[str, Any]) -> dict[str, Any]:
    """Return the address of the server as settings of the engine; a Unix socket becomes a URL."""
    path = connection.pop("path", None)
    if path is None:
        return {"connection": connection}
    for name in ("host", "port", "connection_class"):
        connection.pop(name, None)
    return {"url": f"unix://{path}", "connection": connection}


def shown(value: Any) -> str:
    """Return what a wrong value is for a message, which must not show passwords: a number, or its type."""
    return repr(value) if value is None or isinstance(value, (bool, int, float)) else f"of type {type(value).__name__}"


def connection_of(given: Any) -> dict[str, Any]:
    """Translate arguments of ``redis.Redis()`` into those of its connections."""
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"connection is {shown(given)}; it must be a dict such as {{'host': ..., 'port': ...}}."
        )
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
            raise ConfigurationError(f"connection {name} is {value!r}; it must be an integer.")
    return options


def _of_pool(pool: Any) -> dict[str, Any]:
    if not isinstance(pool, redis.ConnectionPool):
        raise ConfigurationError(
            f"connection_pool is {shown(pool)}; it must be a redis.ConnectionPool (also for asynchronous code)."
        )
    options = {
        name: value
        for name, value in pool.connection_kwargs.items()
        if (name in _POOL_OPTIONS or name.startswith("ssl_")) and value is not None
    }
    if pool.connection_class is not redis.Connection:
        options["connection_class"] = pool.connection_class
    return options


_settings_of: dict[str, tuple[Any, StoreSettings]] = {}


def settings_of(alias: str, params: Mapping[str, Any], read: Callable[[], StoreSettings]) -> StoreSettings:
    """Return the settings of ``TASKS[alias]``, read once: Django makes backends per thread and per request.

    Raises:
        ConfigurationError: as ``read``.
    """
    known = _settings_of.get(alias)
    if known is None or known[0] is not params:
        known = _settings_of[alias] = (params, read())
    return known[1]


def forget_settings(alias: str) -> None:
    """Have the settings of an alias read anew."""
    _settings_of.pop(alias, None)


def _forget(*, setting: str, **_: Any) -> None:
    if setting in (
        "TASKS", "TASK_RESULT_EXPIRES", "TASK_SEND_EVENTS", "TASK_SERIALIZER", "SECRET_KEY", "SECRET_KEY_FALLBACKS",
    ):  # fmt: skip
        _settings_of.clear()


setting_changed.connect(_forget, dispatch_uid="streamtasks.conf.options")
