"""Read from settings where the nodes of a Cluster are, and make the settings of one master."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple
from urllib.parse import unquote

from ...exceptions import ConfigurationError
from ...settings import StoreSettings

__all__ = ["Node", "alone", "master_settings", "start_nodes"]

_FORM: Final = "redis+cluster://user:password@host:6379,host:6379"
_PORT: Final = 6379


class Node(NamedTuple):
    """The address of one node."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def start_nodes(settings: StoreSettings) -> tuple[Node, ...]:
    """Return the nodes that are asked first for the others.

    Raises:
        ConfigurationError: the URL cannot be understood.
    """
    place, path = _parts(settings)[2:4]
    if path.strip("/") not in ("", "0"):
        raise ConfigurationError(
            f"url {settings.shown_url!r}: a Cluster has no databases but 0, not {path.strip('/')!r}; write {_FORM}."
        )
    for name in ("host", "port", "path", "db"):
        if name in settings.connection:
            raise ConfigurationError(f"connection has {name!r}, but a Cluster's nodes are named in url: {_FORM}.")
    return tuple(_node(text, settings) for text in place.split(","))


def master_settings(settings: StoreSettings, node: Node) -> StoreSettings:
    """Return the settings by which one node is reached: like those of a single server."""
    scheme, account, _, _, query = _parts(settings)
    return replace(settings, url=f"{scheme}://{account}{node}/0{query}")


def alone(settings: StoreSettings, node: Node) -> StoreSettings:
    """Return the settings by which one server is reached by itself, whether Sentinels or a Cluster name it."""
    scheme, account, _, _, query = _parts(settings)
    own = "&".join(pair for pair in query.removeprefix("?").split("&") if pair and not pair.startswith("sentinel_"))
    url = f"{scheme.removesuffix('+sentinel')}://{account}{node}/0{'?' if own else ''}{own}"
    return replace(settings, url=url, sentinel_connection={})


def _parts(settings: StoreSettings) -> tuple[str, str, str, str, str]:
    """Return scheme of a single server, account with its ``@``, hosts, path and query with its ``?``."""
    scheme, _, rest = settings.url.partition("://")
    rest, mark, query = rest.partition("?")
    account, at, rest = rest.rpartition("@")
    hosts, _, path = rest.partition("/")
    return scheme.removesuffix("+cluster"), account + at, hosts, path, mark + query


def _node(text: str, settings: StoreSettings) -> Node:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):  # the second: an IPv6 address alone
        host, port = text, str(_PORT)
    host = unquote(host.strip("[]"))
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ConfigurationError(f"url {settings.shown_url!r}: {text!r} is not a node's host:port; write {_FORM}.")
    return Node(host, int(port))
