"""Addresses of nodes, as URLs write them: the nodes of a Cluster, and the settings by which one master is reached."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple
from urllib.parse import unquote

from ...exceptions import ConfigurationError
from ...settings import StoreSettings

__all__ = ["PORT", "Node", "UrlParts", "alone", "master_settings", "parse_node", "split_url", "start_nodes"]

_FORM: Final = "redis+cluster://user:password@host:6379,host:6379"
PORT: Final = 6379


class Node(NamedTuple):
    """The address of one node."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class UrlParts(NamedTuple):
    """The parts of a URL that may name several hosts.

    Attributes:
        scheme: without ``+cluster`` or ``+sentinel``: that of a connection to one server.
        account: user and password with the ``@`` behind them; empty: none.
        hosts: as they are written, separated by commas.
        path: without the slash at its begin.
        query: without its ``?``.
    """

    scheme: str
    account: str
    hosts: str
    path: str
    query: str


def split_url(url: str) -> UrlParts:
    """Split the URL of Sentinels or of a Cluster."""
    scheme, _, rest = url.partition("://")
    rest, _, query = rest.partition("?")
    account, at, rest = rest.rpartition("@")
    hosts, _, path = rest.partition("/")
    return UrlParts(scheme.partition("+")[0], account + at, hosts, path, query)


def parse_node(text: str, default_port: int) -> Node:
    """Return the address that is written as ``host:port`` or ``host``, an IPv6 address in brackets.

    Raises:
        ValueError: it is none.
    """
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):  # the second: an IPv6 address alone
        host, port = text, str(default_port)
    host = unquote(host.strip("[]"))
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError(f"{text!r} is not the host:port of a node")
    return Node(host, int(port))


def start_nodes(settings: StoreSettings) -> tuple[Node, ...]:
    """Return the nodes that are asked first for the others.

    Raises:
        ConfigurationError: the URL cannot be understood.
    """
    parts = split_url(settings.url)
    path = parts.path.strip("/")
    if path not in ("", "0"):
        raise ConfigurationError(
            f"url {settings.shown_url!r}: a Cluster has no databases but 0, not {path!r}; write {_FORM}."
        )
    for name in ("host", "port", "path", "db"):
        if name in settings.connection:
            raise ConfigurationError(f"connection has {name!r}, but a Cluster's nodes are named in url: {_FORM}.")
    try:
        return tuple(parse_node(text, PORT) for text in parts.hosts.split(","))
    except ValueError as error:
        raise ConfigurationError(f"url {settings.shown_url!r}: {error}; write {_FORM}.") from error


def master_settings(settings: StoreSettings, node: Node) -> StoreSettings:
    """Return the settings by which one node is reached: like those of a single server."""
    parts = split_url(settings.url)
    query = parts.query and f"?{parts.query}"
    return replace(settings, url=f"{parts.scheme}://{parts.account}{node}/0{query}")


def alone(settings: StoreSettings, node: Node) -> StoreSettings:
    """Return the settings by which one server is reached by itself, whether Sentinels or a Cluster name it."""
    parts = split_url(settings.url)
    own = "&".join(pair for pair in parts.query.split("&") if pair and not pair.startswith("sentinel_"))
    url = f"{parts.scheme}://{parts.account}{node}/0{'?' if own else ''}{own}"
    return replace(settings, url=url, sentinel_connection={})
