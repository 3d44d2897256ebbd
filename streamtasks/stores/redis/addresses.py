"""Read from settings where the servers are: one address, or Sentinels and the name of a service."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import redis
from redis.connection import parse_url

from ...exceptions import ConfigurationError
from ...settings import StoreSettings
from .credentials import with_credentials
from .nodes import Node, master_settings, parse_node, split_url, start_nodes
from .tls import check_tls, file_problem, is_tls, unverified

__all__ = [
    "SENTINEL_PORT",
    "SentinelAddress",
    "connection_options",
    "connection_problem",
    "not_verified",
    "sentinel_address",
    "sentinel_url",
    "uses_tls",
]

SENTINEL_PORT: Final = 26379

SENTINEL_TIMEOUT_S: Final = 0.5
"""How long one Sentinel may take to be reached, and to answer, seconds: there are others."""

_PREFIX: Final = "sentinel_"
"""Begins the names of those options in the query of a URL that concern Sentinels."""

_FORM: Final = "redis+sentinel://user:password@host:26379,host:26379/service/0"


class SentinelAddress(NamedTuple):
    """Who knows the master of a service, and how these Sentinels are reached.

    Attributes:
        service: the name of the service.
        sentinels: the addresses of its Sentinels.
        options: redis-py connection keyword arguments for Sentinels, ``connection_class`` among them where it matters.
    """

    service: str
    sentinels: tuple[Node, ...]
    options: dict[str, Any]


def connection_options(settings: StoreSettings) -> dict[str, Any]:
    """Return redis-py's connection keyword arguments, ``connection_class`` among them where it matters.

    With Sentinels there is no host and port among them; with a Cluster they are of the first node that the URL names.

    Raises:
        ConfigurationError: the URL or an option cannot be understood.
    """
    options = _server_options(settings)
    check_tls(options, "connection")
    return with_credentials(options, "connection")


def not_verified(settings: StoreSettings) -> list[str]:
    """Return what TLS connections with these settings do not verify, a line for servers and one for Sentinels."""
    return list(dict.fromkeys(filter(None, map(unverified, _all_options(settings).values()))))


def connection_problem(settings: StoreSettings) -> str:
    """Return why no connection can be made with these settings, ``""`` if none is seen: files that cannot be used."""
    problems = (file_problem(options, where) for where, options in _all_options(settings).items())
    return next(filter(None, problems), "")


def uses_tls(settings: StoreSettings) -> bool:
    """Whether any of these connections use TLS."""
    return any(map(is_tls, _all_options(settings).values()))


def _all_options(settings: StoreSettings) -> dict[str, dict[str, Any]]:
    """Return the options of connections to servers and Sentinels, by the name of their setting."""
    found = {"connection": _server_options(settings)}
    if settings.is_sentinel:
        found["sentinel_connection"] = _sentinel_options(_SentinelUrl(settings), settings)
    return found


def _server_options(settings: StoreSettings) -> dict[str, Any]:
    """Return the options of connections to servers as they are given, with our defaults."""
    _check_encoding(settings)
    if settings.is_cluster:
        settings = master_settings(settings, start_nodes(settings)[0])
    if settings.is_sentinel:
        parts = _SentinelUrl(settings)
        options = parts.server_options
    else:
        if settings.sentinel_connection:
            raise ConfigurationError(
                f"sentinel_connection is given, but url {settings.shown_url!r} names no Sentinels; write {_FORM}."
            )
        options = _parsed(settings.url, settings)
        database = urlsplit(settings.url).path.strip("/")
        if "path" not in options:
            _check_database(database, settings)
            options.setdefault("host", "127.0.0.1")
    options.update(_with_class(settings.connection))
    if settings.is_sentinel and ("host" in options or "port" in options or "path" in options):
        raise ConfigurationError(
            f"connection names a host, a port or a path, but url {settings.shown_url!r} leaves that to Sentinels; "
            "remove it."
        )
    for unwanted in ("retry_on_timeout", "retry_on_error", "decode_responses", "retry", "protocol"):
        options.pop(unwanted, None)
    defaults: dict[str, Any] = {
        # One try may not take longer than a call as a whole; a server that is stopped accepts and never answers.
        "socket_timeout": min(5.0, settings.timeout_s, settings.enqueue_retry_s),
        "socket_connect_timeout": min(3.0, settings.timeout_s, settings.enqueue_retry_s),
        "health_check_interval": 0,
        "protocol": 2,
    }
    if "path" in options:
        for needless in ("host", "port"):
            options.pop(needless, None)
        options.setdefault("connection_class", redis.UnixDomainSocketConnection)
    else:
        defaults["socket_keepalive"] = True
        defaults["socket_keepalive_options"] = keepalive_options()
    return defaults | options


def keepalive_options() -> dict[int, int]:
    """Return what lets the kernel end a connection whose other end is gone, within about 20 s, where it can."""
    wanted = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 2, "TCP_USER_TIMEOUT": 20_000}
    if sys.platform == "darwin":
        wanted["TCP_KEEPALIVE"] = wanted.pop("TCP_KEEPIDLE")
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}


def sentinel_address(settings: StoreSettings) -> SentinelAddress:
    """Return the Sentinels of a URL with the scheme ``redis+sentinel`` or ``rediss+sentinel``.

    They are reached with the TLS options of the servers unless ``sentinel_connection`` says otherwise; user and
    password are their own.

    Raises:
        ConfigurationError: the URL or an option cannot be understood.
    """
    parts = _SentinelUrl(settings)
    options = _sentinel_options(parts, settings)
    check_tls(options, "sentinel_connection")
    return SentinelAddress(parts.service, parts.sentinels, with_credentials(options, "sentinel_connection"))


def _sentinel_options(parts: _SentinelUrl, settings: StoreSettings) -> dict[str, Any]:
    """Return the options of connections to Sentinels as they are given, with our defaults."""
    server = parts.server_options | _with_class(settings.connection)
    options: dict[str, Any] = {
        name: value for name, value in server.items() if name.startswith("ssl_") or name == "connection_class"
    }
    timeout_s = min(SENTINEL_TIMEOUT_S, settings.timeout_s, settings.enqueue_retry_s)
    options |= {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "health_check_interval": 0,
        "socket_keepalive": True,
        "socket_keepalive_options": keepalive_options(),
        "protocol": 2,
    }
    options |= parts.own_options | _with_class(settings.sentinel_connection)
    if "host" in options or "port" in options or "db" in options:
        raise ConfigurationError("sentinel_connection has a host, a port or a db: Sentinels are named in url.")
    if options.get("connection_class") is not redis.SSLConnection:
        options = {name: value for name, value in options.items() if not name.startswith("ssl_")}
    return options


class _SentinelUrl:
    """The parts of a URL that names Sentinels."""

    def __init__(self, settings: StoreSettings) -> None:
        url = split_url(settings.url)
        service, _, database = url.path.partition("/")
        self.service = unquote(service)
        if not self.service:
            raise ConfigurationError(
                f"url {settings.shown_url!r} names no service of the Sentinels (as in `sentinel monitor mymaster ...`);"
                f" write {_FORM}."
            )
        try:
            self.sentinels = tuple(parse_node(one, SENTINEL_PORT) for one in url.hosts.split(","))
        except ValueError as error:
            raise ConfigurationError(f"url {settings.shown_url!r}: {error}; write {_FORM}.") from error
        _check_database(database, settings)
        pairs = parse_qsl(url.query, keep_blank_values=True)
        own = {name.removeprefix(_PREFIX): value for name, value in pairs if name.startswith(_PREFIX)}
        rest_of_query = {name: value for name, value in pairs if not name.startswith(_PREFIX)}
        server = f"{url.scheme}://{url.account}_/{database}?{urlencode(rest_of_query)}"
        self.server_options = _parsed(server, settings)
        self.server_options.pop("host")
        tls = own.pop("ssl", None)
        self.own_options = _parsed(f"redis://_?{urlencode(own)}", settings)
        self.own_options.pop("host")
        if tls is not None:
            self.own_options |= _with_class({"ssl": tls.lower() in ("1", "true", "yes", "on")})


def _parsed(url: str, settings: StoreSettings) -> dict[str, Any]:
    try:
        return dict(parse_url(url))
    except ValueError as error:
        reason = str(error)
        if "@" in url and not reason.startswith("Invalid value for"):  # it may name a part of the password
            raise _not_encoded(settings) from None
        raise ConfigurationError(f"url {settings.shown_url!r}: {reason}") from error


def _check_encoding(settings: StoreSettings) -> None:
    """Check that the URL does not end within a password, at a character that is not encoded."""
    _, _, query = settings.url.partition("?")
    if "#" in settings.url or any("=" not in pair.partition("@")[0] for pair in query.split("&") if "@" in pair):
        raise _not_encoded(settings)


def _not_encoded(settings: StoreSettings) -> ConfigurationError:
    return ConfigurationError(
        f"url {settings.shown_url!r} cannot be read. Characters of user and password such as / ? # @ : % must be "
        "percent-encoded (urllib.parse.quote(password, safe='')), or given in connection instead."
    )


def _check_database(database: str, settings: StoreSettings) -> None:
    if "@" in database:
        raise _not_encoded(settings)
    if database and not database.isdigit():  # redis-py would use database 0
        raise ConfigurationError(
            f"url {settings.shown_url!r}: the database is {database!r}; it must be a number, as in redis://host:6379/0."
        )


def _with_class(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with ``ssl`` as a class of connections, as `redis.Redis` takes it."""
    found = dict(options)
    if "ssl" in found:
        found["connection_class"] = redis.SSLConnection if found.pop("ssl") else redis.Connection
    return found


def sentinel_url(sentinels: tuple[Node, ...], service: str) -> str:
    """Return the URL of a service, without users and passwords."""
    return f"redis+sentinel://{','.join(map(str, sentinels))}/{quote(service, safe='')}"
