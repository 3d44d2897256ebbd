"""A TCP proxy that stands for an address: it may lead to another server, or go silent without closing anything."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass

from tests.support.proxy import Link, Proxy


@dataclass(slots=True)
class _SwitchedLink(Link):
    epoch: int


class SwitchProxy(Proxy):
    """Leads to one server or another, or nowhere.

    A connection keeps the server to which it was opened, as with DNS. `silence` models a network that loses its state
    (NAT, VPN, a host that is gone): nothing comes through any more, in either direction, and no end is closed.
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._epoch = 0
        self._is_silent = False

    def switch(self, port: int) -> None:
        """Lead new connections to another server."""
        self.server_port = port

    def silence(self) -> None:
        """Swallow everything from now on, also on connections that are made later."""
        self._is_silent = True
        self._epoch += 1

    def heal(self) -> None:
        """Serve new connections again. Those that were silenced stay so."""
        self._is_silent = False

    def link(self, client: socket.socket, address: tuple[str, int]) -> Link:
        """See `Proxy.link`."""
        return _SwitchedLink(client, address, self.server_port, socket.socket(), self._epoch - self._is_silent)

    def serve(self, link: Link) -> None:
        """Pass on what comes; once the link is silenced, only read what the client sends until it closes."""
        assert isinstance(link, _SwitchedLink)
        # What the server does while the link is silent, such as to end, does not reach the client.
        with suppress(ConnectionError):
            for source, data in self.received(link.client, link.server):
                if link.epoch != self._epoch:
                    break
                (link.server if source is link.client else link.client).sendall(data)
        if link.epoch != self._epoch:
            for _ in self.received(link.client):
                pass
