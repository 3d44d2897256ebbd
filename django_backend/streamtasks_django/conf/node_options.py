"""Read entries of OPTIONS that list nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamtasks import ConfigurationError
from streamtasks.stores.redis.nodes import Node, parse_node

__all__ = ["nodes_of"]


def nodes_of(option: str, given: Any, default_port: int) -> tuple[Node, ...]:
    """Return the nodes that an option lists: each a pair, a text ``"host:port"``, or a dict with host and port.

    Raises:
        ConfigurationError: there is none, or one of them is something else.
    """
    if not isinstance(given, (list, tuple)) or not given:
        raise ConfigurationError(f"{option} is {given!r}; it must be a list such as [('host', {default_port})].")
    return tuple(_node(f"{option}[{place}]", one, default_port) for place, one in enumerate(given))


def _node(where: str, given: Any, default_port: int) -> Node:
    entry = given
    if isinstance(entry, Mapping) and set(entry) <= {"host", "port"}:
        entry = (entry.get("host"), entry.get("port", default_port))
    if isinstance(entry, (list, tuple)) and len(entry) == 2 and isinstance(entry[0], str):
        entry = str(Node(entry[0], entry[1]))
    try:
        return parse_node(entry if isinstance(entry, str) else "", default_port)
    except ValueError as error:
        raise ConfigurationError(
            f"{where} is {given!r}; it must be a pair such as ('host', {default_port}), a text such as "
            f"'host:{default_port}', or a dict with host and port."
        ) from error
