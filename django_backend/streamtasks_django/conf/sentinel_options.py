"""Read the OPTIONS of `RedisSentinelBackend` that say where the servers are.

=======================  =========================================================================
``sentinels``            ``[("host", 26379), ...]``; texts such as ``"host:port"`` and
                         ``{"host": ..., "port": ...}`` will do, too
``service_name``         what the Sentinels call the service: the name in ``sentinel monitor NAME ...``
``connection``           how the servers are reached: ``{"username", "password", "db", "ssl", ...}``,
                         without host and port
``sentinel_connection``  the same for the Sentinels. They are reached with the TLS options of the
                         servers unless this says otherwise; user and password are their own
=======================  =========================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streamtasks import ConfigurationError
from streamtasks.stores.redis.addresses import SENTINEL_PORT, sentinel_url

from .node_options import nodes_of
from .options import OPTIONS, connection_of, shown

__all__ = ["SENTINEL_OPTIONS", "sentinel_server"]

SENTINEL_OPTIONS: Final = (OPTIONS - {"url", "connection_pool"}) | {"sentinels", "service_name", "sentinel_connection"}
"""Every key that OPTIONS of `RedisSentinelBackend` may have."""


def sentinel_server(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return where the servers are, as settings of the engine.

    Raises:
        ConfigurationError: an option is missing or wrong.
    """
    service = options.get("service_name")
    if not isinstance(service, str) or not service:
        raise ConfigurationError(
            f"service_name is {service!r}; it must be the name of the service, as in `sentinel monitor mymaster ...`."
        )
    for name in ("url", "connection_pool"):
        if options.get(name) is not None:
            raise ConfigurationError(f"{name} is given; RedisSentinelBackend has sentinels and service_name instead.")
    sentinels = nodes_of("sentinels", options.get("sentinels"), SENTINEL_PORT)
    own = options.get("sentinel_connection") or {}
    if not isinstance(own, Mapping):
        raise ConfigurationError(
            f"sentinel_connection is {shown(own)}; it must be a dict such as {{'username': ..., ...}}."
        )
    return {
        "url": sentinel_url(sentinels, service),
        "connection": connection_of(options.get("connection") or {}),
        "sentinel_connection": dict(own),
    }
