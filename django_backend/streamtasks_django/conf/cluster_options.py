"""Read the OPTIONS of `RedisClusterBackend` that say where the Cluster is.

=================  ==============================================================================
``startup_nodes``  some of its nodes: ``[{"host": "redis1", "port": 6379}, ...]``; pairs such as
                   ``("redis1", 6379)`` and texts such as ``"redis1:6379"`` will do, too
``connection``     how nodes are reached: ``{"username", "password", "ssl", ...}``, without host
                   and port
``shards``         how many shards every queue is spread over, 1 to 64 (16); may grow later
=================  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streamtasks import ConfigurationError
from streamtasks.stores.redis.nodes import Node

from .options import OPTIONS, connection_of

__all__ = ["CLUSTER_OPTIONS", "cluster_server"]

CLUSTER_OPTIONS: Final = (OPTIONS - {"url", "connection_pool"}) | {"startup_nodes", "shards"}
"""Every key that OPTIONS of `RedisClusterBackend` may have."""


def cluster_server(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return where the Cluster is, as settings of the engine.

    Raises:
        ConfigurationError: an option is missing or wrong.
    """
    for name in ("url", "connection_pool"):
        if options.get(name) is not None:
            raise ConfigurationError(f"{name} is given; RedisClusterBackend has startup_nodes instead.")
    given = options.get("startup_nodes")
    if not isinstance(given, (list, tuple)) or not given:
        raise ConfigurationError(
            f"startup_nodes is {given!r}; it must be a list such as [{{'host': 'redis1', 'port': 6379}}]."
        )
    connection = connection_of(options.get("connection") or {})
    for name in ("host", "port", "path", "db"):
        if name in connection:
            raise ConfigurationError(f"connection has {name!r}, but the nodes of a Cluster stand in startup_nodes.")
    nodes = ",".join(_node(place, one) for place, one in enumerate(given))
    return {"url": f"redis+cluster://{nodes}", "connection": connection, "shards": options.get("shards")}


def _node(place: int, given: Any) -> str:
    if isinstance(given, str):
        return given
    if isinstance(given, Mapping) and set(given) <= {"host", "port"}:
        given = (given.get("host"), given.get("port", 6379))
    if isinstance(given, (list, tuple)) and len(given) == 2:
        host, port = given
        if isinstance(port, str) and port.isdigit():  # from the environment
            port = int(port)
        if isinstance(host, str) and host and isinstance(port, int) and not isinstance(port, bool):
            return str(Node(host, port))
    raise ConfigurationError(
        f"startup_nodes[{place}] is {given!r}; it must be such as {{'host': 'redis1', 'port': 6379}}."
    )
