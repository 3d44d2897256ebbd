"""Read the OPTIONS of `RedisClusterBackend` that say where the Cluster is.

=================  ==============================================================================
``startup_nodes``  some of its nodes: ``[{"host": "redis1", "port": 6379}, ...]``; pairs such as
                   ``("redis1", 6379)`` and texts such as ``"redis1:6379"`` will do, too
``connection``     how nodes are reached: ``{"username", "password", "ssl", ...}``, without host
                   and port
``shards``         how many shards every queue is spread over, 1 to 64 (64); may grow later
=================  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streamtasks import ConfigurationError
from streamtasks.stores.redis.nodes import PORT

from .node_options import nodes_of
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
    nodes = nodes_of("startup_nodes", options.get("startup_nodes"), PORT)
    connection = connection_of(options.get("connection") or {})
    for name in ("host", "port", "path", "db"):
        if name in connection:
            raise ConfigurationError(f"connection has {name!r}, but the nodes of a Cluster stand in startup_nodes.")
    return {
        "url": f"redis+cluster://{','.join(map(str, nodes))}",
        "connection": connection,
        "shards": options.get("shards"),
    }
