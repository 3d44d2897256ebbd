"""A TCP proxy that stands for an address: it may lead to another server, or go silent without a word."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import ExitStack, closing
from typing import Self


class SwitchProxy:
    """Stands between clients and a server; a context manager.

    A connection keeps the server to which it was opened, as with DNS. `silence` models a network that loses its state
    (NAT, VPN, a host that is gone): nothing comes through any more, in either direction, and nobody is told.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._epoch = 0
        self._mute = False
        self._stopping = False
        self._threads: list[threading.Thread] = []
        self.accepted = 0

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def switch(self, port: int) -> None:
        """Lead new connections to another server."""
        self._port = port

    def silence(self) -> None:
        """Swallow everything from now on, also on connections that are made later."""
        self._mute = True
        self._epoch += 1

    def heal(self) -> None:
        """Serve new connections again. Those that were silenced stay so."""
        self._mute = False

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping:
            if select.select([self._listener], [], [], 0.02)[0]:
                self.accepted += 1
                self._start(self._serve, self._listener.accept()[0], self._port, self._epoch - self._mute)

    def _serve(self, client: socket.socket, port: int, epoch: int) -> None:
        with ExitStack() as stack:
            stack.enter_context(closing(client))
            server = stack.enter_context(closing(socket.create_connection(("127.0.0.1", port))))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not self._stopping:
                ready = select.select([client, server], [], [], 0.05)[0]
                if epoch != self._epoch:
                    self._swallow(client)
                    return
                for source in ready:
                    try:
                        data = source.recv(1 << 20)
                        (server if source is client else client).sendall(data)
                    except OSError:
                        return
                    if not data:
                        return

    def _swallow(self, client: socket.socket) -> None:
        """Read what the client sends until it closes; the server's end stays open, too."""
        while not self._stopping:
            if select.select([client], [], [], 0.05)[0]:
                try:
                    if not client.recv(1 << 20):
                        return
                except OSError:
                    return
